"""
Steps per second of the environments with the masks of all goals, and of the originals without them.

Run ``python benchmarks/env_speed.py``; results are written to ``benchmarks/results/env_speed.json``. Families whose libraries
are missing are left out. Both take random actions, alternate, and are measured in processor time, which other work on the
machine affects little.

- Single environments are made by ``gymnasium.make`` and reset when an episode ends, which counts as time but not as a step.
- JAX environments are stepped in parallel: the original's own step under ``vmap``, with its own observations and without
  resets, and ``BatchedEnv``, with masks and resets.
"""

import argparse
import contextlib
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from machine import describe

import leo_envs

gym.register_envs(leo_envs)

# Environments of this library, and the originals; None for those that are not made of another one.
SINGLE = {
    "leo/GridWorld-v0": None,
    "leo/BitFlip-v0": None,
    "leo/MountainCar-v0": "MountainCar-v0",
    "leo/FetchReach-v0": "FetchReach-v4",
    "leo/FetchPush-v0": "FetchPush-v4",
    "leo/PointMaze_UMaze-v0": "PointMaze_UMaze-v3",
    "leo/PandaReach-v0": None,
    "leo/MiniGrid-Empty-8x8-v0": "MiniGrid-Empty-8x8-v0",
    "leo/MiniGrid-DoorKey-6x6-v0": "MiniGrid-DoorKey-6x6-v0",
    "leo/BabyAI-GoToLocal-v0": "BabyAI-GoToLocal-v0",
    "leo/BabyAI-UnlockLocal-v0": "BabyAI-UnlockLocal-v0",
}
PARALLEL = ("leo/CraftaxClassic-v0", "leo/Craftax-v0", "leo/XLand-v0", "leo/XLand-R4-13x13-v0", "leo/XMiniGrid-DoorKey-8x8-v0")
Steps = Callable[[int], int]
"""Takes a number of steps and returns how many steps of environments these were."""


def single_steps(env: gym.Env[Any, Any]) -> Steps:
    """Return a function that takes random steps in a single environment."""
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(1024)]
    env.reset(seed=0)

    def take(count: int) -> None:
        for number in range(count):
            _, _, terminated, truncated, _ = env.step(actions[number % 1024])
            if terminated or truncated:
                env.reset()

    def steps(count: int) -> int:
        # BabyAI prints every level that it rejects.
        with contextlib.redirect_stdout(io.StringIO()):
            take(count)
        return count

    return steps


def parallel_steps(env_id: str, num_envs: int) -> tuple[int, Steps, Steps]:
    """Return the number of goals, and functions that take random steps in N environments: with masks, and the original's."""
    import jax

    from leo_wrappers.jax_envs import BatchedEnv

    env = gym.make(env_id).unwrapped.functional_env
    core = BatchedEnv(env, num_envs)
    keys = core.keys(list(range(num_envs)))
    actions = np.random.default_rng(0).integers(env.action_space.n, size=(64, num_envs)).astype(np.int32)
    batch, _ = core.reset(core.empty(keys), np.ones(num_envs, dtype=bool))
    # A copy, because steps donate their input buffers.
    states = jax.tree.map(jax.numpy.copy, batch.states)
    bare_step = jax.jit(jax.vmap(original_step(env)))

    def with_masks(count: int) -> int:
        nonlocal batch
        for number in range(count):
            batch, _, observed, _ = core.step_and_reset(batch, actions[number % 64])
            jax.block_until_ready((observed.obs, observed.goals_achieved))
        return count * num_envs

    def bare(count: int) -> int:
        nonlocal states
        for number in range(count):
            states, result = bare_step(keys, states, actions[number % 64])
            jax.block_until_ready(result)
        return count * num_envs

    return len(env.goal_names), with_masks, bare


def original_step(env: Any) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Return the step of the original of a functional environment: key, state and action to state and everything else."""
    original = env._original
    if hasattr(original, "step_env"):  # Craftax

        def craftax_step(key: Any, state: Any, action: Any) -> tuple[Any, Any]:
            obs, state, *rest = original.step_env(key, state, action, env._params)[:4]
            return state, (obs, rest)

        return craftax_step

    from xminigrid.types import StepType, TimeStep

    def xland_step(key: Any, state: Any, action: Any) -> tuple[Any, Any]:
        before = TimeStep(state=state, step_type=StepType.MID, reward=None, discount=None, observation=None)
        after = original.step(env.params, before, action)
        return after.state, (after.observation, after.reward, after.discount)

    return xland_step


def measure(steps: dict[str, Steps], runs: int, seconds: float) -> dict[str, float]:
    """
    Measure functions alternately.

    :param steps: functions that take steps, by name
    :param runs: number of measurements of each
    :param seconds: approximate processor time of a measurement
    :return: steps per second of processor time of each, the median, and the median of the ratio of the first to the second
    """
    counts = {}
    for name, function in steps.items():
        function(10)  # compiles
        started = time.process_time()
        function(10)
        counts[name] = max(10, int(10 * seconds / (time.process_time() - started)))
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(runs):
        for name, function in steps.items():
            started = time.process_time()
            taken = function(counts[name])
            speeds[name].append(taken / (time.process_time() - started))
    result = {name: round(statistics.median(values)) for name, values in speeds.items()}
    if len(speeds) == 2:
        result["ratio"] = round(statistics.median(a / b for a, b in zip(*speeds.values(), strict=True)), 3)
    return result


def measure_env(env_id: str, num_envs: int, runs: int, seconds: float) -> dict[str, Any]:
    """
    Measure one environment.

    :param env_id: a key of :data:`SINGLE` or one of :data:`PARALLEL`
    :param num_envs: number of parallel environments of the latter
    :param runs: see :func:`measure`
    :param seconds: see :func:`measure`
    :return: number of goals and of environments, steps per second "with masks" and "original", and their "ratio"
    """
    if env_id in PARALLEL:
        goals, with_masks, bare = parallel_steps(env_id, num_envs)
        return {"goals": goals, "num_envs": num_envs, **measure({"with masks": with_masks, "original": bare}, runs, seconds)}
    env, original = gym.make(env_id), SINGLE[env_id]
    steps = {"with masks": single_steps(env)}
    if original is not None:
        steps["original"] = single_steps(gym.make(original))
    return {"goals": len(env.get_wrapper_attr("goal_names")), "num_envs": 1, **measure(steps, runs, seconds)}


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", choices=[*SINGLE, *PARALLEL], default=[*SINGLE, *PARALLEL])
    parser.add_argument("--num-envs", type=int, default=256, help="number of parallel JAX environments")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="processor time of a measurement")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "env_speed.json")
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    for env_id in options.envs:
        try:
            rows[env_id] = measure_env(env_id, options.num_envs, options.runs, options.seconds)
        except (ImportError, gym.error.Error) as error:
            print(f"{env_id}: left out ({error})")
            continue
        row = rows[env_id]
        print(f"{env_id:32s} {row['goals']:4d} goals, {row['num_envs']:4d} x: {row['with masks']:9,} with masks, "
              f"{row.get('original', 0):9,} original, ratio {row.get('ratio', '-')}", flush=True)  # fmt: skip
    result = {"what": __doc__.strip(), "machine": describe("gymnasium", "numpy"), "environments": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
