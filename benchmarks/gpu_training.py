"""Training in Craftax-Classic for a given time: a part of ``gpu_speed.py``."""

import time
from collections.abc import Callable
from typing import Any

from gpu_timing import ResultFile
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import LinearSchedule

from leo_agents import LEOPQN
from leo_agents.algorithms.on_policy_algorithm import with_paper_network
from leo_agents.evaluation import evaluate_goals
from leo_envs.craftax import CraftaxClassic
from leo_wrappers.sb3 import JaxVecEnv, VecGoalSampler

HORIZON, EPSILON = 500, 0.05
EVALUATION_SECONDS = 15.0
"""Time left for each of the two evaluations."""
# As in ``pqn_learning.py``, one gradient step per 128 environment steps; the paper's network and a lower learning rate for it.
SETTINGS: dict[str, Any] = {
    "n_steps": 32,
    "batch_size": 512,
    "n_epochs": 4,
    "q_lambda": 0.9,
    "learning_rate": LinearSchedule(3e-4, 0.0, 1.0),
    "policy_kwargs": {"head_kwargs": {"initial_value": 0.03}},
}


class TimedCurve(BaseCallback):
    """
    Callback that records the statistics of the commanded goals, evaluates once, and stops training when the time is over.

    :param results: file for the curve
    :param seconds: time for training
    :param evaluate: called halfway, outside of this time
    :param points: number of points of the curve
    """

    def __init__(self, results: ResultFile, seconds: float, evaluate: Callable[[], None], points: int = 20) -> None:
        super().__init__()
        self.results, self.seconds, self.interval = results, seconds, seconds / points
        self.evaluate, self.evaluated = evaluate, False
        self.started = self.next_point = 0.0
        self.curve: list[dict[str, Any]] = []

    @property
    def elapsed(self) -> float:
        """Seconds of training."""
        return time.perf_counter() - self.started

    def _on_training_start(self) -> None:
        self.started, self.next_point = time.perf_counter(), self.interval
        self.results.content["curve"] = self.curve

    def _on_step(self) -> bool:
        return self.elapsed < self.seconds

    def _on_rollout_end(self) -> None:
        if self.elapsed >= self.next_point:
            self.next_point += self.interval
            self.curve.append(self._point())
            self.results.write()
        if not self.evaluated and self.elapsed >= self.seconds / 2:
            self.evaluated, before = True, time.perf_counter()
            self.evaluate()
            self.started += time.perf_counter() - before

    def _point(self) -> dict[str, Any]:
        selector = self.model.goal_sampler.goal_selector  # type: ignore[attr-defined]
        before = self.curve[-1] if self.curve else {"attempts": 0, "successes": 0}
        attempts, successes = int(selector.attempts.sum()), int(selector.successes.sum())
        new_attempts = max(1, attempts - before["attempts"])
        return {
            "seconds": self.elapsed,
            "steps": self.num_timesteps,
            "seen": int(selector.seen.sum()),
            "attempts": attempts,
            "successes": successes,
            "success_of_commanded": (successes - before["successes"]) / new_attempts,
        }


def train(results: ResultFile, seconds: float, num_envs: int, device: str) -> None:
    """
    Train LEOPQN, and evaluate all goals halfway and at the end.

    The learning rate and the exploration are annealed over the number of steps that the time is enough for, which is measured
    before.

    :param results: the result file, whose time includes everything
    :param seconds: time for training, without the evaluations; less if no time would be left for these
    :param num_envs: number of parallel environments
    :param device: PyTorch device
    """
    venv = VecGoalSampler(JaxVecEnv(CraftaxClassic(), num_envs))
    # Environments of their own: the evaluation leaves them in the middle of episodes.
    envs = JaxVecEnv(CraftaxClassic(), num_envs)
    transitions = SETTINGS["n_steps"] * num_envs
    policy_kwargs = with_paper_network(SETTINGS["policy_kwargs"], venv.observation_space)

    def make() -> LEOPQN:
        return LEOPQN("MultiGoalPolicy", venv, seed=0, device=device, **{**SETTINGS, "policy_kwargs": policy_kwargs})

    def measure_speed() -> dict[str, Any]:
        model = make().learn(2 * transitions)
        started = time.perf_counter()
        model.learn(4 * transitions, reset_num_timesteps=False)
        return {"steps_per_second": 4 * transitions / (time.perf_counter() - started)}

    results.row("speed", measure_speed)
    seconds = max(1.0, min(seconds, results.seconds_left - 2 * EVALUATION_SECONDS))
    steps = int(seconds * results.content["rows"][-1]["steps_per_second"])
    model = make()

    def evaluate() -> dict[str, Any]:
        episodes = max(1, num_envs // len(envs.goal_names))
        report = evaluate_goals(model, envs, episodes, seed=10_000, max_steps=HORIZON, epsilon=EPSILON)
        return {
            "success": report.mean_success,
            "learned": report.num_learned(0.5),
            "achieved_once": int((report.successes > 0).sum()),
            "episodes": episodes,
            **{family: one.mean_success for family, one in report.by_family().items()},
        }

    def run() -> dict[str, Any]:
        evaluate_halfway = lambda: results.row("evaluation", evaluate, steps=model.num_timesteps)  # noqa: E731
        curve = TimedCurve(results, seconds, evaluate_halfway)
        model.learn(steps, callback=curve)
        rate = round(model.num_timesteps / curve.elapsed)
        seen = int(model.goal_sampler.goal_selector.seen.sum())
        return {"steps": model.num_timesteps, "steps_per_second": rate, "gradient_steps": model._n_updates, "seen": seen}

    results.row("training", run, steps_planned=steps)
    results.row("evaluation", evaluate, steps=model.num_timesteps)
