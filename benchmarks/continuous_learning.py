"""
How fast agents with continuous actions learn to reach every goal: LEOTD3 and LEOSAC, and TD3, SAC and TQC with hindsight.

Run ``python benchmarks/continuous_learning.py --env leo/FetchReach-v0 --steps 20000``; table, curves and figure are written to
``benchmarks/results/continuous_learning_<env>.*``. ``--seeds``, ``--algorithms`` and ``--jobs`` make it shorter.

All agents use the same environment for the same number of steps and normalize their inputs by running statistics. All but the
Zoo's make the same number of gradient steps of 256 transitions, with hidden layers of 256. They differ in their goals and in
what a gradient step updates:

- LEOTD3, LEOSAC: the goals are those of the environment's grid; each transition updates all of them. Repeated random actions
  are part of their exploration (``--epsilon``). "5 steps": five-step targets, which Stable-Baselines3's HER does not have.
  "32 heads": targets and actor update 32 random goals per gradient step instead of all.
- LEOTD3, LEOSAC, "any goal": the same algorithms without the finite goal set (``AnyGoalWrapper``). Each transition updates 16
  goals that the batch has in common and one achieved later in its own episode.
- TD3 + HER, SAC + HER, TQC + HER: Stable-Baselines3 and sb3-contrib with ``HerReplayBuffer``
  (``leo_agents.baselines.goal_env_actor_critic``), on the environment with its own random goals, points anywhere in its goal
  space; hindsight with 4 "future" goals per transition. TD3 explores with normal noise of 0.1, as LEOTD3 does. Learning rate
  and target updates are LEO's, which are faster than Stable-Baselines3's defaults. "clipped": the target critics' values are
  clipped to the range of possible returns, as in the HER paper. "entropy 0.02": SAC's entropy coefficient is learned from 0.02
  on, as LEOSAC's, instead of 1. "raw": without normalized inputs.
- TQC + HER (Zoo): the settings of RL Zoo for Fetch, three hidden layers of 512, batches of 2,048, gamma .95 and a gradient
  step after every environment step.

By default the first two of both kinds run; the others are selected by ``--algorithms``.

Two success rates, both of the policy without noise and with one episode per goal: over all goals of the grid, and over random
goals, which the environment draws as its desired goals. For a random goal LEO with the grid's goals is commanded the nearest
of them, the other agents the goal itself. A goal is reached if any step of the episode is within the environment's tolerance
of it; goals achieved at the start are not attempted. Intervals are 95 % by Student's t over seeds. ``continuous_speed.py``
measures the cost of a gradient step.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import copy  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from curves import draw_curves  # noqa: E402
from sb3_contrib import TQC  # noqa: E402
from stable_baselines3 import SAC, TD3  # noqa: E402
from stable_baselines3.common.noise import NormalActionNoise  # noqa: E402
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm  # noqa: E402
from training_runs import (  # noqa: E402
    PeriodicEval,
    Row,
    add_options,
    curves_by_seed,
    format_quantity,
    mean_and_half_width,
    train_all,
    write_results,
)

import leo_envs  # noqa: E402
from leo_agents import LEOSAC, LEOTD3  # noqa: E402
from leo_agents.baselines import goal_env_actor_critic  # noqa: E402
from leo_agents.evaluation import evaluate_goals  # noqa: E402
from leo_wrappers import AnyGoalWrapper  # noqa: E402

gym.register_envs(leo_envs)

COLORS = {
    "LEOTD3": "#2667d9",
    "LEOTD3, 5 steps": "#0b2a66",
    "LEOTD3, 32 heads": "#7fb0f5",
    "LEOSAC": "#22a062",
    "LEOSAC, 5 steps": "#0b4a2a",
    "LEOSAC, 32 heads": "#8bd3a8",
    "LEOTD3, any goal": "#12a5c4",
    "LEOTD3, any goal, 5 steps": "#0a5c6e",
    "LEOSAC, any goal": "#b3a515",
    "LEOSAC, any goal, 5 steps": "#6e650a",
    "TD3 + HER": "#e07b39",
    "SAC + HER": "#8e4ec6",
    "TQC + HER": "#c0356b",
    "TD3 + HER, clipped": "#f2b48a",
    "SAC + HER, clipped": "#c9a6e3",
    "TQC + HER, clipped": "#e38fb0",
    "SAC + HER, entropy 0.02": "#5a9a8f",
    "TD3 + HER, raw": "#8a5a34",
    "SAC + HER, raw": "#553278",
    "TQC + HER (Zoo)": "#3d3d3d",
}
LEO = {"LEOTD3": LEOTD3, "LEOSAC": LEOSAC}
ANY_GOAL = "any goal"
VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "5 steps": {"n_steps": 5},
    "32 heads": {"goals_per_update": 32},
    ANY_GOAL: {},
    f"{ANY_GOAL}, 5 steps": {"n_steps": 5},
}
ZOO_NAME = "TQC + HER (Zoo)"
DEFAULT = ("LEOTD3", "LEOSAC", "TD3 + HER", "SAC + HER")
SHARED: dict[str, Any] = {"learning_starts": 1_000, "batch_size": 256, "device": "cpu"}
BASELINES = {"TD3 + HER": TD3, "SAC + HER": SAC, "TQC + HER": TQC}
BASELINE_VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "clipped": {"clip_targets": True},
    "entropy 0.02": {"ent_coef": "auto_0.02"},
    "raw": {"normalize": False},
}
HINDSIGHT: dict[str, Any] = {
    "replay_buffer_kwargs": {"n_sampled_goal": 4, "goal_selection_strategy": "future"},
    "policy_kwargs": {"net_arch": [256, 256]},
    "learning_rate": 1e-3,
    "tau": 0.05,
}
ZOO: dict[str, Any] = {
    "batch_size": 2_048,
    "gamma": 0.95,
    "learning_rate": 1e-3,
    "tau": 0.05,
    "train_freq": 1,
    "gradient_steps": 1,
    "policy_kwargs": {"net_arch": [512, 512, 512], "n_critics": 2},
}


def make_env(options: argparse.Namespace) -> gym.Env[Any, Any]:
    """
    Create the environment.

    :param options: command line options
    :return: the environment with the requested grid of goals
    """
    arguments: dict[str, Any] = {} if options.resolution is None else {"resolution": options.resolution}
    if options.env.endswith(("Push-v0", "Slide-v0", "PickAndPlace-v0")):
        arguments["helper_goals"] = False  # only positions of the object count as successes
    return gym.make(options.env, **arguments)


def make_model(algorithm: str, seed: int, options: argparse.Namespace) -> OffPolicyAlgorithm:
    """
    Create an agent with its environment.

    :param algorithm: one of :data:`COLORS`
    :param seed: seeds the agent and its environment
    :param options: command line options
    :return: the untrained model
    """
    env = make_env(options)
    kwargs: dict[str, Any] = {
        **SHARED,
        "seed": seed,
        "buffer_size": options.steps,
        "gamma": options.gamma,
        "train_freq": options.train_freq,
        "gradient_steps": options.gradient_steps,
    }
    name, _, variant = algorithm.partition(", ")
    if name in LEO:
        env = AnyGoalWrapper(env) if ANY_GOAL in variant else env
        exploration = {"exploration_initial_eps": options.epsilon, "exploration_final_eps": options.epsilon}
        return LEO[name]("MultiGoalPolicy", env, **exploration, **VARIANTS[variant], **kwargs)
    if name == ZOO_NAME:
        return goal_env_actor_critic(TQC, env, **copy.deepcopy({**kwargs, **HINDSIGHT, **ZOO}))
    if name == "TD3 + HER":
        kwargs["action_noise"] = action_noise(env)
    # A copy, because these classes modify their arguments.
    hindsight = copy.deepcopy({**HINDSIGHT, **BASELINE_VARIANTS[variant]})
    return goal_env_actor_critic(BASELINES[name], env, **kwargs, **hindsight)


def action_noise(env: gym.Env[Any, Any]) -> NormalActionNoise:
    """
    Create the noise with which TD3 + HER explores.

    :param env: an environment with actions in a Box
    :return: normal noise of 0.1
    """
    action_dim = env.action_space.shape[0]  # type: ignore[index]
    return NormalActionNoise(np.zeros(action_dim), np.full(action_dim, 0.1))


class DesiredGoalAgent:
    """
    Adapts an agent without a finite goal set to ``evaluate_goals``: it reads the commanded goal from ``desired_goal`` and not
    from ``goal_id``.

    :param model: the agent
    """

    def __init__(self, model: OffPolicyAlgorithm) -> None:
        self.model = model

    def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the model's actions for observations without ``goal_id``."""
        return self.model.predict({key: value for key, value in observation.items() if key != "goal_id"}, *args, **kwargs)


def success_on_random_goals(model: OffPolicyAlgorithm, env: gym.Env[Any, Any], episodes: int) -> float:
    """
    Return the success rate over random goals of the environment.

    :param model: the agent
    :param env: a goal environment with the grid's goals
    :param episodes: number of goals, the same ones in every call
    :return: the success rate
    """
    goals, points = env.get_wrapper_attr("goal_set"), env.get_wrapper_attr("goal_points")
    reached = []
    for episode in range(episodes):
        obs, _ = env.reset(seed=10_000 + episode)
        desired = obs["desired_goal"].copy()
        if goals.reaches(obs["achieved_goal"], desired):
            continue
        nearest = np.int64(np.linalg.norm(points - desired, axis=1).argmin())
        success = done = False
        while not (success or done):
            action, _ = model.predict({**obs, "goal_id": nearest} if reads_goal_id(model) else obs, deterministic=True)
            obs, _, terminated, truncated, _ = env.step(action)
            # The environment may draw a new goal after a success; the first one counts.
            success, done = bool(goals.reaches(obs["achieved_goal"], desired)), terminated or truncated
        reached.append(success)
    return float(np.mean(reached)) if reached else float("nan")


def reads_goal_id(model: Any) -> bool:
    """
    Return whether an agent is commanded a goal of the grid by ``goal_id``, and not a point by ``desired_goal``.

    :param model: the agent
    :return: True for LEO with the grid's goals
    """
    return isinstance(model, tuple(LEO.values())) and not model.has_point_goals


def run(algorithm: str, seed: int, options: argparse.Namespace) -> list[Row]:
    """
    Train one agent.

    :param algorithm: one of :data:`COLORS`
    :param seed: seeds the agent and its environment
    :param options: command line options
    :return: a row per evaluation
    """
    th.set_num_threads(1)
    env = make_env(options)

    def evaluate(model: OffPolicyAlgorithm) -> Row:
        agent: Any = model if reads_goal_id(model) else DesiredGoalAgent(model)
        return {
            "gradient_steps": model._n_updates,
            "success": evaluate_goals(agent, env, seed=0).mean_success,
            "random_success": success_on_random_goals(model, env, options.episodes),
        }

    callback = PeriodicEval(evaluate, options.every)
    make_model(algorithm, seed, options).learn(options.steps, callback=callback)
    return [{"algorithm": algorithm, "seed": seed, **row} for row in callback.rows]


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize the final evaluations.

    :param rows: rows of all runs
    :return: a line per algorithm
    """
    table = []
    for algorithm, curves in curves_by_seed(rows).items():
        line: Row = {"algorithm": algorithm, "seeds": len(curves)}
        line["gradient_steps"] = next(iter(curves.values()))[-1]["gradient_steps"]
        for key in ("success", "random_success"):
            line |= mean_and_half_width(key, [curve[-1][key] for curve in curves.values()])
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal.

    :param table: from :func:`summarize`
    :return: text
    """
    lines = [f"{'':20s} {'gradient steps':>14s} {'goals of the grid':>18s} {'random goals':>18s}"]
    for line in table:
        cells = [f"{format_quantity(line, key, '{:.3f}'.format):>18s}" for key in ("success", "random_success")]
        lines.append(f"{line['algorithm']:20s} {line['gradient_steps']:>14,} {' '.join(cells)}")
    return "\n".join(lines)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table, curves and figure.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {
        "what": (__doc__ or "").strip(),
        "goals": len(make_env(options).get_wrapper_attr("goal_names")),
        "settings": SHARED,
        "hindsight": HINDSIGHT,
        "zoo": ZOO,
        "table": table,
    }
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    titles = {"success": f"{options.env}: goals of the grid", "random_success": "random goals"}
    draw_curves(rows, titles, COLORS, options.out.with_suffix(".png"))
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="leo/FetchReach-v0", help="id of a multi-goal environment with desired_goal")
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps of each run")
    parser.add_argument("--episodes", type=int, default=50, help="number of random goals per evaluation")
    parser.add_argument("--gamma", type=float, default=0.98, help="discount factor")
    parser.add_argument("--train-freq", type=int, default=2, help="environment steps between updates")
    parser.add_argument("--gradient-steps", type=int, default=1, help="gradient steps per update")
    parser.add_argument("--resolution", type=int, default=None, help="resolution of the grid of goals, if configurable")
    parser.add_argument("--epsilon", type=float, default=0.2, help="probability of random actions of LEO in training")
    add_options(parser, "--algorithms", list(COLORS), default=DEFAULT, seeds=3)
    options = parser.parse_args()
    options.every = options.every or max(options.steps // 10, 1)
    name = options.env.split("/")[-1].partition("-v")[0].lower()
    options.out = options.out or Path(__file__).parent / "results" / f"continuous_learning_{name}"
    print(format_table(train_all(run, (options,), options, list(COLORS), write)))
    print(f"wrote {options.out}.json, .csv and .png")


if __name__ == "__main__":
    main()
