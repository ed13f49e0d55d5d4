"""
How fast agents with continuous actions learn to reach every goal: LEOTD3 and LEOSAC beside TD3, SAC and TQC with hindsight.

Run ``python benchmarks/continuous_learning.py --env leo/FetchReach-v0 --steps 20000``; table, curves and figure go to
``benchmarks/results/continuous_learning_<env>.*``. ``--seeds``, ``--algorithms`` and ``--jobs`` make it shorter.

All agents see the same environment for the same number of steps, take the same number of gradient steps of 256 transitions
and have hidden layers of 256. What differs is what they are told and what a gradient step is about:

- LEOTD3, LEOSAC: the goals are those of the environment's grid; each transition teaches all of them. Stretches of random
  actions, as many as by default, are a part of how they explore (``--random-actions``). "5 steps": targets look five steps
  ahead, as Stable-Baselines3's hindsight cannot. "32 heads": targets and actor learn about 32 goals a gradient step, drawn
  anew for each, not about all.
- TD3 + HER, SAC + HER, TQC + HER: the classes of Stable-Baselines3 and sb3-contrib, unmodified, on the environment as it is,
  with its own random goals, points anywhere in its goal space; hindsight with 4 "future" goals a transition. TD3 explores by
  normal noise of 0.1, as LEOTD3 does. Learning rate and target updates are LEO's, which are faster than Stable-Baselines3's
  defaults.

TQC, "5 steps" and "32 heads" take part only where ``--algorithms`` asks for them.

Two measures, both of the policy without noise, each an episode a goal: success over all goals of the grid, and success over
random goals of the environment's own. LEO can only be commanded by the nearest goal of the grid to one of those, the others by
the goal itself. A goal is reached when any step of the episode is within the environment's tolerance of it; goals true at the
start are no attempts. Intervals are 95 % by Student's t over seeds. What a gradient step costs is ``continuous_speed.py``'s
question.
"""

import os

# Before NumPy and PyTorch start their threads.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import copy  # noqa: E402
from collections import defaultdict  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from curves import draw_curves  # noqa: E402
from sb3_contrib import TQC  # noqa: E402
from stable_baselines3 import SAC, TD3, HerReplayBuffer  # noqa: E402
from stable_baselines3.common.callbacks import BaseCallback  # noqa: E402
from stable_baselines3.common.noise import NormalActionNoise  # noqa: E402
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm  # noqa: E402
from trainings import Row, mean_and_half_width, measured, missing_tasks, read_rows, run_tasks, write_results  # noqa: E402

import leo_envs  # noqa: E402
from leo_agents import LEOSAC, LEOTD3  # noqa: E402
from leo_agents.evaluation import evaluate_goals  # noqa: E402

gym.register_envs(leo_envs)

COLORS = {
    "LEOTD3": "#2667d9",
    "LEOTD3, 5 steps": "#0b2a66",
    "LEOTD3, 32 heads": "#7fb0f5",
    "LEOSAC": "#22a062",
    "LEOSAC, 5 steps": "#0b4a2a",
    "LEOSAC, 32 heads": "#8bd3a8",
    "TD3 + HER": "#e07b39",
    "SAC + HER": "#8e4ec6",
    "TQC + HER": "#c0356b",
}
DIFFERENCES: dict[str, dict[str, Any]] = {"": {}, "5 steps": {"n_steps": 5}, "32 heads": {"goals_per_update": 32}}
DEFAULT = ("LEOTD3", "LEOSAC", "TD3 + HER", "SAC + HER")
SHARED: dict[str, Any] = {"learning_starts": 1_000, "batch_size": 256, "device": "cpu"}
HINDSIGHT: dict[str, Any] = {
    "replay_buffer_class": HerReplayBuffer,
    "replay_buffer_kwargs": {"n_sampled_goal": 4, "goal_selection_strategy": "future"},
    "policy_kwargs": {"net_arch": [256, 256]},
    "learning_rate": 1e-3,
    "tau": 0.05,
}


def make_env(env_id: str, options: argparse.Namespace) -> gym.Env[Any, Any]:
    """
    :param env_id: the environment
    :param options: of the command line
    :return: the environment, with the grid that was asked for
    """
    return gym.make(env_id, **({} if options.resolution is None else {"resolution": options.resolution}))


def make_model(algorithm: str, env_id: str, seed: int, options: argparse.Namespace) -> OffPolicyAlgorithm:
    """
    An agent with its environment.

    :param algorithm: one of :data:`COLORS`
    :param env_id: the environment
    :param seed: seeds everything
    :param options: of the command line
    :return: the model, not trained yet
    """
    env = make_env(env_id, options)
    kwargs: dict[str, Any] = {
        **SHARED,
        "seed": seed,
        "buffer_size": options.steps,
        "gamma": options.gamma,
        "train_freq": options.train_freq,
        "gradient_steps": options.gradient_steps,
    }
    if algorithm.startswith("LEO"):
        name, _, difference = algorithm.partition(", ")
        leo = {"LEOTD3": LEOTD3, "LEOSAC": LEOSAC}[name]
        return leo("MultiGoalPolicy", env, random_actions=options.random_actions, **DIFFERENCES[difference], **kwargs)
    hindsight = copy.deepcopy(HINDSIGHT)  # these classes write into what they are given
    if algorithm in ("SAC + HER", "TQC + HER"):
        return {"SAC + HER": SAC, "TQC + HER": TQC}[algorithm]("MultiInputPolicy", env, **kwargs, **hindsight)
    action_dim = env.action_space.shape[0]  # type: ignore[index]
    noise = NormalActionNoise(np.zeros(action_dim), np.full(action_dim, 0.1))
    return TD3("MultiInputPolicy", env, action_noise=noise, **kwargs, **hindsight)


class ByPoint:
    """
    A hindsight agent as evaluations see it: the commanded goal reaches it as the point under ``desired_goal``.

    :param model: the agent
    """

    def __init__(self, model: OffPolicyAlgorithm) -> None:
        self.model = model

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        """As Stable-Baselines3's, without the goal's number."""
        return self.model.predict({key: value for key, value in observation.items() if key != "goal_id"}, *args, **kwargs)


def success_on_random_goals(model: OffPolicyAlgorithm, env: gym.Env[Any, Any], episodes: int) -> float:
    """
    The share of the environment's own random goals that are reached.

    :param model: the agent
    :param env: a goal environment with the grid's goals
    :param episodes: how many goals, always the same ones
    :return: the share
    """
    goals, points = env.get_wrapper_attr("goal_set"), env.get_wrapper_attr("goal_points")
    reached = []
    for episode in range(episodes):
        obs, _ = env.reset(seed=10_000 + episode)
        desired = obs["desired_goal"].copy()
        if goals.reaches(obs["achieved_goal"], desired):
            continue
        nearest = np.int64(np.linalg.norm(points - desired, axis=1).argmin())
        success = over = False
        while not (success or over):
            seen = {**obs, "goal_id": nearest} if hasattr(model, "goal_names") else obs
            action, _ = model.predict(seen, deterministic=True)
            obs, _, terminated, truncated, _ = env.step(action)
            # The environment may draw a new goal when one is reached; meant is the first.
            success, over = bool(goals.reaches(obs["achieved_goal"], desired)), terminated or truncated
        reached.append(success)
    return float(np.mean(reached)) if reached else float("nan")


class Judge(BaseCallback):
    """
    Evaluates the agent every so many steps.

    :param env: the environment to do so in
    :param every: environment steps between evaluations
    :param episodes: number of random goals
    """

    def __init__(self, env: gym.Env[Any, Any], every: int, episodes: int) -> None:
        super().__init__()
        self.every, self.next_due, self.episodes = every, every, episodes
        self.env = env
        self.rows: list[Row] = []

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.next_due:
            self.next_due += self.every
            self.judge()
        return True

    def judge(self) -> None:
        """Adds a row to the results."""
        model: Any = self.model if hasattr(self.model, "goal_names") else ByPoint(self.model)  # type: ignore[arg-type]
        # The grid's goals with the same starts each time, and the environment's end of episodes.
        report = evaluate_goals(model, self.env, seed=0)
        self.rows.append(
            {
                "steps": self.num_timesteps,
                "gradient_steps": self.model._n_updates,  # type: ignore[attr-defined]
                "success": report.mean_success,
                "random_success": success_on_random_goals(self.model, self.env, self.episodes),  # type: ignore[arg-type]
            }
        )


def run(algorithm: str, seed: int, options: argparse.Namespace) -> list[Row]:
    """
    One training.

    :param algorithm: its name
    :param seed: its seed
    :param options: of the command line
    :return: a row for each evaluation
    """
    th.set_num_threads(1)
    judge = Judge(make_env(options.env, options), options.every, options.episodes)
    make_model(algorithm, options.env, seed, options).learn(options.steps, callback=judge)
    return [{"algorithm": algorithm, "seed": seed, **row} for row in judge.rows]


def summarise(rows: list[Row]) -> list[Row]:
    """
    One line for each algorithm, at the end of its training.

    :param rows: of all evaluations
    :return: the table
    """
    table = []
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        runs: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            if row["algorithm"] == algorithm:
                runs[row["seed"]].append(row)
        line: Row = {"algorithm": algorithm, "seeds": len(runs)}
        line["gradient_steps"] = next(iter(runs.values()))[-1]["gradient_steps"]
        for key in ("success", "random_success"):
            line |= mean_and_half_width(key, [curve[-1][key] for curve in runs.values()])
        table.append(line)
    return table


def show(table: list[Row]) -> str:
    """
    The table for people.

    :param table: from :func:`summarise`
    :return: text
    """
    lines = [f"{'':16s} {'gradient steps':>14s} {'goals of the grid':>18s} {'random goals':>18s}"]
    for line in table:
        cells = [f"{measured(line, key, '{:.3f}'.format):>18s}" for key in ("success", "random_success")]
        lines.append(f"{line['algorithm']:16s} {line['gradient_steps']:>14,} {' '.join(cells)}")
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Writes everything, also of an unfinished benchmark.

    :param rows: of all evaluations so far
    :param options: of the command line
    :return: the table
    """
    rows = sorted(rows, key=lambda row: (list(COLORS).index(row["algorithm"]), row["seed"], row["steps"]))
    table = summarise(rows)
    about = {
        "what": __doc__.strip(),
        "goals": len(make_env(options.env, options).get_wrapper_attr("goal_names")),
        "settings": SHARED,
        "hindsight": {key: str(value) for key, value in HINDSIGHT.items()},
        "table": table,
    }
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    titles = {"success": f"{options.env}: goals of the grid", "random_success": "random goals"}
    draw_curves(rows, titles, COLORS, options.out.with_suffix(".png"))
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="leo/FetchReach-v0", help="id of a goal environment that reports its goals")
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps of each training")
    parser.add_argument("--every", type=int, default=None, help="steps between evaluations; a tenth of all by default")
    parser.add_argument("--episodes", type=int, default=50, help="random goals of each evaluation")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--algorithms", nargs="+", choices=list(COLORS), default=DEFAULT, metavar="NAME")
    parser.add_argument("--gamma", type=float, default=0.98, help="discount")
    parser.add_argument("--train-freq", type=int, default=2, help="environment steps between trainings")
    parser.add_argument("--gradient-steps", type=int, default=1, help="gradient steps of each training")
    parser.add_argument("--resolution", type=int, default=None, help="of the grid of goals, where the environment takes one")
    parser.add_argument("--random-actions", type=float, default=0.2, help="share of random actions of LEO in training")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time; no more than there are idle cores")
    parser.add_argument("--keep", action="store_true", help="keep the results that are there, train what is missing")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 10, 1)
    name = options.env.split("/")[-1].partition("-v")[0].lower()
    options.out = options.out or Path(__file__).parent / "results" / f"continuous_learning_{name}"
    rows = read_rows(options.out) if options.keep else []
    tasks = missing_tasks(rows, options.algorithms, options.seeds)
    table = write(rows, options) if rows else []
    for finished in run_tasks(run, tasks, (options,), options.jobs):
        rows += finished
        table = write(rows, options)
    print(show(table))
    print(f"wrote {options.out}.json, .csv and .png")


if __name__ == "__main__":
    main()
