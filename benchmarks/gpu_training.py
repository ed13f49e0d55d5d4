"""Training in Craftax-Classic for a given time: a part of ``gpu_speed.py``."""

import time
from typing import Any

from gpu_timing import ResultFile
from stable_baselines3.common.callbacks import BaseCallback

from leo_agents import LEOPQN
from leo_agents.evaluation import evaluate_goals
from leo_envs.craftax import CraftaxClassic
from leo_wrappers.sb3 import JaxVecEnv

HORIZON, EPSILON = 500, 0.05


class TimedCurve(BaseCallback):
    """
    Callback that records the statistics of the commanded goals, and stops training when the time is over.

    :param results: file for the curve
    :param seconds: time for training
    :param points: number of points of the curve
    """

    def __init__(self, results: ResultFile, seconds: float, points: int = 20) -> None:
        super().__init__()
        self.results, self.seconds, self.interval = results, seconds, seconds / points
        self.started = self.next_point = 0.0
        self.curve: list[dict[str, Any]] = []

    def _on_training_start(self) -> None:
        self.started, self.next_point = time.perf_counter(), self.interval
        self.results.content["curve"] = self.curve

    def _on_step(self) -> bool:
        return time.perf_counter() - self.started < self.seconds

    def _on_rollout_end(self) -> None:
        elapsed = time.perf_counter() - self.started
        if elapsed < self.next_point:
            return
        self.next_point += self.interval
        selector = self.model.goal_sampler.goal_selector  # type: ignore[attr-defined]
        attempts = int(selector.attempts.sum())
        before = self.curve[-1] if self.curve else {"attempts": 0, "successes": 0}
        point = {
            "seconds": elapsed,
            "steps": self.num_timesteps,
            "seen": int(selector.seen.sum()),
            "attempts": attempts,
            "successes": int(selector.successes.sum()),
        }
        new_attempts = max(1, attempts - before["attempts"])
        point["success_of_commanded"] = (point["successes"] - before["successes"]) / new_attempts
        self.curve.append(point)
        self.results.write()


def train(results: ResultFile, seconds: float, num_envs: int, device: str) -> None:
    """
    Train LEOPQN with the paper's settings, and evaluate all goals.

    The learning rate and the exploration are annealed over the number of steps that the time is enough for, which is measured
    before.

    :param results: the result file
    :param seconds: time for training
    :param num_envs: number of parallel environments
    :param device: PyTorch device
    """
    venv = JaxVecEnv(CraftaxClassic(), num_envs)
    transitions = 32 * num_envs

    def make() -> LEOPQN:
        return LEOPQN("MultiGoalPolicy", venv, paper_mode=True, n_steps=32, seed=0, device=device)

    def measure_speed() -> dict[str, Any]:
        model = make().learn(2 * transitions)
        started = time.perf_counter()
        model.learn(6 * transitions, reset_num_timesteps=False)
        return {"steps_per_second": 6 * transitions / (time.perf_counter() - started)}

    results.row("speed", measure_speed)
    steps = int(seconds * results.content["rows"][-1]["steps_per_second"])
    model = make()

    def run() -> dict[str, Any]:
        curve = TimedCurve(results, seconds)
        started = time.perf_counter()
        model.learn(steps, callback=curve)
        elapsed = time.perf_counter() - started
        return {"steps": model.num_timesteps, "steps_per_second": round(model.num_timesteps / elapsed)}

    def evaluate() -> dict[str, Any]:
        # Environments of their own: the evaluation leaves them in the middle of episodes.
        envs = JaxVecEnv(CraftaxClassic(), num_envs)
        episodes = max(1, num_envs // len(envs.goal_names))
        report = evaluate_goals(model, envs, episodes, seed=10_000, max_steps=HORIZON, epsilon=EPSILON)
        families = {family: one.mean_success for family, one in report.by_family().items()}
        return {"success": report.mean_success, "learned": report.num_learned(0.5), "episodes": episodes, **families}

    results.row("training", run, steps_planned=steps)
    results.row("evaluation", evaluate)
