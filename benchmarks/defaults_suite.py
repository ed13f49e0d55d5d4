"""
How well agents learn all goals of small environments with the same settings in all of them: a suite to choose defaults by.

Run ``python benchmarks/defaults_suite.py``; table and runs are written to ``benchmarks/results/defaults_suite.*``. Each run
is kept as it ends, and ``--keep`` only adds what is missing: ``--envs``, ``--agents`` and ``--seeds`` select what to add.

Thirteen environments of Gymnasium and ours, goals by wrapper: cells of a grid over (a part of) the state, or discrete cells.
Four parallel environments, episodes of at most 200 steps, 10,000 steps in all, two hidden layers of 64: nothing depends on the
environment. Not part of the suite, but selected by ``--envs DoorKey --steps 40000 --out FILE``: a level of MiniGrid (needs the
extra ``minigrid``).

"LEODQN", "LEOSAC" and "LEOTD3" are as they come; the other rows change what their names say. DQN and SAC, with hindsight
("HER") or without ("UVFA"), have LEO's learning rate, batch, target updates and network, and normalized inputs. "1/4" is the
number of gradient steps per transition; it is that of DQN and SAC too. "5 steps" are n-step targets, "cut" their cut per goal
(``cut_tolerance=0.0``).

Success is that of the policy without noise over the goals that any state of any run of the environment has achieved, so that
all agents are compared on the same goals; one episode per goal, more if there are fewer than 64 goals. Intervals are 95 % by
Student's t over seeds.
"""

import os

# Set before NumPy and PyTorch are imported.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gymnasium as gym  # noqa: E402
import numpy as np  # noqa: E402
import torch as th  # noqa: E402
from stable_baselines3 import SAC  # noqa: E402
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402
from training_runs import Row, format_quantity, mean_and_half_width, train_all, write_results  # noqa: E402

import leo_envs  # noqa: E402
from leo_agents import LEODQN, LEOSAC, LEOTD3  # noqa: E402
from leo_agents.algorithms.env_wrapping import find_goal_sampler  # noqa: E402
from leo_agents.baselines import goal_conditioned_actor_critic, goal_conditioned_dqn  # noqa: E402
from leo_agents.evaluation import evaluate_goals  # noqa: E402
from leo_wrappers import GoalSet, GridGoals, MultiGoalWrapper  # noqa: E402

gym.register_envs(leo_envs)

Env = gym.Env[Any, Any]

NUM_ENVS, TIME_LIMIT, EVAL_EPISODES = 4, 200, 64
NET: dict[str, Any] = {"policy_kwargs": {"net_arch": [64, 64]}}


def cells(count: int) -> GoalSet:
    """
    Create one goal per number that a discrete signal can be.

    :param count: number of values
    :return: the goals
    """
    return GoalSet(
        [f"cell/{number}" for number in range(count)], lambda signal: np.asarray(signal)[..., None] == np.arange(count)
    )


def on_grid(
    env_id: str, low: list[float], high: list[float], shape: list[int], signal: Callable[[Any], Any] = lambda obs: obs
) -> Env:
    """
    Create an environment whose goals are the cells of a grid.

    :param env_id: id of the environment
    :param low: lower corner of the grid
    :param high: upper corner of the grid
    :param shape: number of cells along each axis
    :param signal: computes the coordinates from an observation
    :return: the multi-goal environment
    """
    env = gym.make(env_id, max_episode_steps=TIME_LIMIT)
    return MultiGoalWrapper(env, GridGoals(low, high, shape), lambda obs, _: np.asarray(signal(obs), dtype=np.float64))


def on_cells(env_id: str, count: int, signal: Callable[[int], int] = lambda obs: obs, **kwargs: Any) -> Env:
    """
    Create an environment with discrete observations whose goals are numbers computed from them.

    :param env_id: id of the environment
    :param count: how many numbers there are
    :param signal: computes the number from an observation
    :param kwargs: arguments of the environment
    :return: the multi-goal environment
    """
    env = gym.make(env_id, max_episode_steps=TIME_LIMIT, **kwargs)
    return MultiGoalWrapper(env, cells(count), lambda obs, _: signal(int(obs)))


class Picture(gym.ObservationWrapper[Any, Any, Any]):
    """
    Shows a gridworld as a gray picture of 36 x 36 pixels: walls, floor and the agent.

    :param env: a gridworld of 9 x 9 cells that observes its row and column
    """

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(0, 255, (36, 36, 1), np.uint8)
        self.floor = np.zeros((9, 9), dtype=np.uint8)
        self.floor[tuple(env.get_wrapper_attr("grid").cells.T)] = 100

    def observation(self, observation: Any) -> Any:
        """Draw the map with the agent's cell in white."""
        picture = self.floor.copy()
        picture[observation[:9].argmax(), observation[9:].argmax()] = 255
        return picture.repeat(4, axis=0).repeat(4, axis=1)[..., None]


def taxi_goal(state: int) -> int:
    """
    Return the part of Taxi's state that goals are defined on.

    :param state: the state
    :return: number of the taxi's cell and the passenger's place, of 125
    """
    return state // 4


def arm_angles(obs: np.ndarray) -> list[float]:
    """
    Return the angles of Acrobot's two joints.

    :param obs: an observation
    :return: the angles in radians
    """
    return [np.arctan2(obs[1], obs[0]), np.arctan2(obs[3], obs[2])]


# The fastest first.
DISCRETE: dict[str, Callable[[], Env]] = {
    "FrozenLake": lambda: on_cells("FrozenLake-v1", 16),
    "CliffWalking": lambda: on_cells("CliffWalking-v1", 48),
    "CartPole": lambda: on_grid("CartPole-v1", [-2.4, -0.2], [2.4, 0.2], [9, 5], lambda obs: obs[[0, 2]]),
    "MountainCar": lambda: on_grid("MountainCar-v0", [-1.2, -0.07], [0.6, 0.07], [9, 7]),
    "Acrobot": lambda: on_grid("Acrobot-v1", [-np.pi] * 2, [np.pi] * 2, [8, 8], arm_angles),
    "maze": lambda: gym.make("leo/GridWorld-v0", map="maze", size=11),
    "GridWorld": lambda: gym.make("leo/GridWorld-v0"),
    "BitFlip": lambda: gym.make("leo/BitFlip-v0", n_bits=8),
    "picture": lambda: Picture(gym.make("leo/GridWorld-v0", map="random", size=9)),
    "Taxi": lambda: on_cells("Taxi-v4", 125, taxi_goal),
}
CONTINUOUS: dict[str, Callable[[], Env]] = {
    "Pendulum": lambda: on_grid(
        "Pendulum-v1", [-np.pi, -8.0], [np.pi, 8.0], [12, 5], lambda obs: [np.arctan2(obs[1], obs[0]), obs[2]]
    ),
    "Reacher": lambda: on_grid("Reacher-v5", [-0.21] * 2, [0.21] * 2, [8, 8], lambda obs: obs[4:6] + obs[8:10]),
    "PointMaze": lambda: gym.make("leo/PointMaze_UMaze-v0", max_episode_steps=TIME_LIMIT),
}
OTHERS: dict[str, Callable[[], Env]] = {
    "DoorKey": lambda: gym.make("leo/MiniGrid-DoorKey-6x6-v0", max_episode_steps=TIME_LIMIT),
}
ENVS = DISCRETE | CONTINUOUS | OTHERS

RATIO: dict[str, Any] = {"train_freq": 1, "replay_ratio": 0.25}
QUARTER: dict[str, Any] = {"train_freq": 1, "gradient_steps": 1}  # the same, with NUM_ENVS environments
# What LEODQN's and LEOSAC's defaults are, for the baselines.
DQN_SHARED: dict[str, Any] = {
    **QUARTER,
    "learning_rate": 2e-3,
    "buffer_size": 1_000_000,
    "learning_starts": 1_000,
    "batch_size": 256,
    "tau": 0.02,
    "target_update_interval": NUM_ENVS,  # in environment steps: one per gradient step
    "exploration_fraction": 0.2,
    "exploration_final_eps": 0.1,
}
SAC_SHARED: dict[str, Any] = {
    **QUARTER,
    "learning_rate": 1e-3,
    "buffer_size": 1_000_000,
    "learning_starts": 1_000,
    "tau": 0.05,
}
HINDSIGHT: dict[str, Any] = {"n_sampled_goal": 4, "goal_selection_strategy": "future"}
BASELINES: dict[str, dict[str, Any]] = {
    "HER": {"buffer": "her", "replay_buffer_kwargs": HINDSIGHT},
    "UVFA": {"buffer": "plain"},
}
LEO: dict[str, type[LEODQN | LEOSAC | LEOTD3]] = {"LEODQN": LEODQN, "LEOSAC": LEOSAC, "LEOTD3": LEOTD3}
VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "1/4": RATIO,
    "1/2": {**RATIO, "replay_ratio": 0.5},
    "1": {**RATIO, "replay_ratio": 1.0},
    "1/4, 3 steps": {**RATIO, "n_steps": 3},
    "1/4, 5 steps": {**RATIO, "n_steps": 5},
}
CUTS = {"1/4, 5 steps, cut": {**RATIO, "n_steps": 5, "cut_tolerance": 0.0}}
DISCRETE_AGENTS = [*(f"LEODQN, {name}".removesuffix(", ") for name in VARIANTS | CUTS), "DQN + HER", "DQN (UVFA)"]
CONTINUOUS_AGENTS = [
    *(f"{algorithm}, {name}".removesuffix(", ") for algorithm in ("LEOSAC", "LEOTD3") for name in VARIANTS),
    "SAC + HER",
    "SAC (UVFA)",
]
RUNS = [f"{env}: {agent}" for env in DISCRETE | OTHERS for agent in DISCRETE_AGENTS] + [
    f"{env}: {agent}" for env in CONTINUOUS for agent in CONTINUOUS_AGENTS
]


def make_model(env_name: str, agent: str, seed: int) -> OffPolicyAlgorithm:
    """
    Create an agent with its environments.

    :param env_name: one of :data:`ENVS`
    :param agent: name of the agent
    :param seed: seeds the agent and its environments
    :return: the untrained model
    """
    venv = DummyVecEnv([ENVS[env_name]] * NUM_ENVS)
    common: dict[str, Any] = {**NET, "gamma": 0.99, "seed": seed, "device": "cpu"}
    name, _, variant = agent.partition(", ")
    if name in LEO:
        return LEO[name]("MultiGoalPolicy", venv, **(VARIANTS | CUTS)[variant], **common)
    kwargs = {**common, **BASELINES["HER" if "HER" in agent else "UVFA"]}
    if agent.startswith("SAC"):
        return goal_conditioned_actor_critic(SAC, venv, **SAC_SHARED, **kwargs)
    return goal_conditioned_dqn(venv, **DQN_SHARED, **kwargs)


def run(name: str, seed: int, steps: int) -> list[Row]:
    """
    Train and evaluate one agent in one environment.

    :param name: one of :data:`RUNS`
    :param seed: seeds the agent and its environments
    :param steps: environment steps
    :return: one row
    """
    th.set_num_threads(1)
    env_name, _, agent = name.partition(": ")
    model = make_model(env_name, agent, seed)
    started = time.process_time()
    model.learn(steps)
    seconds = time.process_time() - started
    sampler = find_goal_sampler(model.env)
    assert sampler is not None
    episodes = max(EVAL_EPISODES // len(sampler.goal_names), 1)
    report = evaluate_goals(model, DummyVecEnv([ENVS[env_name]] * EVAL_EPISODES), episodes, seed=10_000)
    return [
        {
            "algorithm": name,
            "seed": seed,
            "steps": steps,
            "gradient_steps": model._n_updates,
            "seconds": round(seconds, 1),
            # Per goal, separated by spaces.
            "seen": " ".join(map(str, sampler.seen.astype(int))),
            "successes": " ".join(map(str, report.successes)),
            "attempts": " ".join(map(str, report.attempts)),
        }
    ]


def add_success(rows: list[Row]) -> list[Row]:
    """
    Compute the success of each run over the goals that any run in its environment has seen.

    :param rows: rows of all runs
    :return: the rows with "env", "agent", "goals" and "success"
    """
    seen: dict[str, Any] = defaultdict(lambda: False)
    for row in rows:
        env_name = row["algorithm"].partition(": ")[0]
        seen[env_name] = seen[env_name] | np.array(row["seen"].split(), dtype=int).astype(bool)
    result = []
    for row in rows:
        env_name, _, agent = row["algorithm"].partition(": ")
        successes, attempts = (np.array(row[key].split(), dtype=int) for key in ("successes", "attempts"))
        counted = seen[env_name] & (attempts > 0)
        success = float((successes[counted] / attempts[counted]).mean())
        result.append({**row, "env": env_name, "agent": agent, "goals": int(counted.sum()), "success": success})
    return result


def summarize(rows: list[Row]) -> list[Row]:
    """
    Summarize all runs.

    :param rows: rows of all runs
    :return: a line per environment and agent
    """
    runs: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in add_success(rows):
        runs[row["env"], row["agent"]].append(row)
    table = []
    for (env_name, agent), group in runs.items():
        line: Row = {"env": env_name, "agent": agent, "seeds": len(group), "goals": group[0]["goals"]}
        line["gradient_steps"] = group[0]["gradient_steps"]
        for key in ("success", "seconds"):
            line |= mean_and_half_width(key, [row[key] for row in group])
        table.append(line)
    return table


def format_table(table: list[Row]) -> str:
    """
    Format the table for the terminal, a line per environment.

    :param table: from :func:`summarize`
    :return: text
    """
    by_env: dict[str, list[Row]] = defaultdict(list)
    for line in table:
        by_env[line["env"]].append(line)
    blocks = []
    for env_name, lines in by_env.items():
        blocks.append(f"{env_name}, {lines[0]['goals']} goals")
        for line in lines:
            success = format_quantity(line, "success", "{:.3f}".format)
            blocks.append(
                f"  {line['agent']:20s} {success:>16s}  {line['seeds']} seeds, {line['gradient_steps']:,} gradient steps, "
                f"{line['seconds']:.0f} s"
            )
    return "\n".join(blocks)


def write(rows: list[Row], options: argparse.Namespace) -> list[Row]:
    """
    Write table and runs.

    :param rows: rows of all runs so far
    :param options: command line options
    :return: the table
    """
    table = summarize(rows)
    about = {
        "what": (__doc__ or "").strip(),
        "num_envs": NUM_ENVS,
        "time_limit": TIME_LIMIT,
        "settings": {"DQN": DQN_SHARED, "SAC": SAC_SHARED, "HER": HINDSIGHT},
        "table": table,
    }
    write_results(options, about, rows, "gymnasium", "numpy", "stable-baselines3", "torch")
    return table


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10_000, help="environment steps of each run")
    parser.add_argument("--envs", nargs="+", choices=list(ENVS), default=list(DISCRETE | CONTINUOUS), metavar="NAME")
    agents = [*DISCRETE_AGENTS, *CONTINUOUS_AGENTS]
    default = ["LEODQN", "LEOSAC", "LEOTD3", "DQN + HER", "DQN (UVFA)", "SAC + HER", "SAC (UVFA)"]
    parser.add_argument("--agents", nargs="+", choices=agents, default=default, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--jobs", type=int, default=1, help="parallel training runs; no more than there are idle cores")
    parser.add_argument("--keep", action="store_true", help="keep existing results and only run what is missing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "defaults_suite")
    options = parser.parse_args()
    options.agents = [f"{env}: {agent}" for env in options.envs for agent in options.agents if f"{env}: {agent}" in RUNS]
    print(format_table(train_all(run, (options.steps,), options, RUNS, write)))
    print(f"wrote {options.out}.json and .csv")


if __name__ == "__main__":
    main()
