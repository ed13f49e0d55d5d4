"""
Training speed on one GPU: environments, rollouts and updates, alone and together, and the fraction of time without work.

Run ``leo bench gpu`` on a machine with a GPU; it takes less than five minutes, compilation included. Results are written to
``benchmarks/results/gpu_speed.json`` after every row, so that nothing is lost if it is stopped, and the output of the tests
marked ``gpu``, which run first, to ``gpu_tests.txt`` in the same folder. A row that fails has the error instead of numbers.
``--quick`` is a short run with few environments, also without a GPU. ``--train SECONDS`` trains LEOPQN with the paper's
settings in Craftax-Classic for that long instead, and evaluates all goals (success within 500 steps, epsilon 0.05).

All agents take rollouts of 32 steps in 1,024 environments and train for 2 epochs of minibatches of 512, 128 gradient steps
per rollout. "paper": a convolution of 32 channels, batch renormalization, 4 x 1024 with layer normalization. "narrow": the
last layer has 256 units. "PQN": the same loop for the commanded goal only. Milliseconds are wall-clock time between
synchronizations, medians over the rounds after an iteration of warm-up. "idle": fraction of the wall-clock time of an
iteration in which no kernel runs, by PyTorch's profiler, which sees the kernels of JAX too.
"""

import os

# Set before JAX is imported: PyTorch uses the same GPU.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import argparse
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gpu_timing import ResultFile, gpu_activity, median_ms, synchronize, time_iterations
from gpu_training import train
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger

import leo_envs  # noqa: F401
from leo_agents import LEODQN, LEOPQN, LEOSAC, PQN
from leo_agents.algorithms.on_policy_algorithm import with_paper_network
from leo_envs.craftax import Craftax, CraftaxClassic
from leo_wrappers.jax_envs import BatchedEnv
from leo_wrappers.sb3 import JaxVecEnv, VecGoalSampler, step_arrays, step_tensors

ROOT = Path(__file__).parents[1]
ENVS: dict[str, Any] = {"CraftaxClassic": CraftaxClassic, "Craftax": Craftax}
NETS = {"paper": [1024] * 4, "narrow": [1024, 1024, 1024, 256]}
PRECISIONS: dict[str, dict[str, bool]] = {
    "float32": {"tf32": False, "amp": False},
    "TF32": {"tf32": True, "amp": False},
    "bfloat16": {"tf32": True, "amp": True},
}
DEVICE = "cuda" if th.cuda.is_available() else "cpu"


@contextmanager
def precision_of(algorithm: type[BaseAlgorithm], options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """
    Context manager with the arguments that an algorithm has.

    :param algorithm: the class
    :param options: arguments, those of :data:`PRECISIONS` among them
    :return: the arguments to pass
    """
    names = inspect.signature(algorithm).parameters
    missing = sorted(name for name, value in options.items() if name not in names and name != "tf32" and value)
    if missing:
        raise NotImplementedError(f"{algorithm.__name__} has no argument {', '.join(missing)}")
    before = th.get_float32_matmul_precision()
    # Globally too: algorithms apply theirs in ``learn`` only.
    th.set_float32_matmul_precision("high" if options["tf32"] else "highest")
    try:
        yield {name: value for name, value in options.items() if name in names}
    finally:
        th.set_float32_matmul_precision(before)


class Benchmark:
    """
    All rows of the benchmark.

    :param results: the file that they are written to
    :param num_envs: number of parallel environments
    :param n_steps: steps of a rollout
    :param rounds: number of measurements
    :param nets: widths of the hidden layers by name
    """

    def __init__(self, results: ResultFile, num_envs: int, n_steps: int, rounds: int, nets: dict[str, list[int]]) -> None:
        self.results, self.nets = results, nets
        self.num_envs, self.n_steps, self.rounds = num_envs, n_steps, rounds
        self.batch_size = min(512, num_envs * n_steps // 4)

    def run(self, env: str) -> None:
        """
        Measure everything in one environment.

        :param env: one of :data:`ENVS`
        """
        venv = JaxVecEnv(ENVS[env](), self.num_envs)
        row = partial(self.results.row, env=env)
        row("compile", lambda: {"ms": median_ms(venv.warmup, 1)})
        row("environment", partial(self.environment, venv))
        for graph in (True, False):
            for precision in ("TF32", "bfloat16", "float32"):
                options = {**PRECISIONS[precision], "cuda_graph": graph}
                for net, widths in self.nets.items():
                    settings = {"net": net, "precision": precision, "cuda_graph": graph}
                    row("LEOPQN", partial(self.pqn, LEOPQN, venv, widths, options), **settings)
        for precision in ("TF32", "bfloat16"):
            options = {**PRECISIONS[precision], "cuda_graph": True}
            row("PQN", partial(self.pqn, PQN, venv, self.nets["paper"], options), net="paper", precision=precision)
        for device in ("cpu", DEVICE):
            row("LEODQN", partial(self.dqn, venv, device), net="paper", precision="TF32", replay=device)

    def environment(self, venv: JaxVecEnv) -> dict[str, Any]:
        """
        Time steps of the environments with random actions.

        :param venv: the environments
        :return: milliseconds per step: through the host, on the device, and without resets
        """
        sampler = VecGoalSampler(venv, seed=0)
        sampler.seed(0)
        sampler.reset()
        num_actions = int(venv.action_space.n)  # type: ignore[attr-defined]

        def tensors(target: Any) -> None:
            for _ in range(self.n_steps):
                step_tensors(target, th.randint(num_actions, (self.num_envs,), device=DEVICE))

        def arrays() -> None:
            for _ in range(self.n_steps):
                step_arrays(sampler, th.randint(num_actions, (self.num_envs,)).numpy())

        envs = BatchedEnv(venv.vector_env.functional_env, self.num_envs)
        keys = envs.keys(list(range(self.num_envs)))
        batch, _ = envs.reset(envs.empty(keys), np.ones(self.num_envs, dtype=bool))
        actions = np.random.default_rng(0).integers(num_actions, size=self.num_envs, dtype=np.int32)

        def steps_only() -> None:
            nonlocal batch
            for _ in range(self.n_steps):
                batch, _ = envs.step(batch, actions)
            batch.elapsed.block_until_ready()

        functions: dict[str, Callable[[], None]] = {
            "arrays": arrays,
            "tensors": partial(tensors, sampler),
            "tensors_without_goals": partial(tensors, venv),
            "without_resets": steps_only,
        }
        result = {}
        for name, function in functions.items():
            function()  # warm-up
            result[f"{name}_ms"] = median_ms(function, self.rounds) / self.n_steps
        return {**result, "steps_per_second": round(1000 * self.num_envs / result["tensors_ms"])}

    def pqn(
        self, algorithm: type[LEOPQN | PQN], venv: JaxVecEnv, net_arch: list[int], options: dict[str, Any]
    ) -> dict[str, Any]:
        """
        Time iterations of an on-policy algorithm, and measure the activity of the GPU in one of them.

        :param algorithm: LEOPQN or PQN
        :param venv: the environments
        :param net_arch: widths of the hidden layers
        :param options: precision and use of CUDA graphs
        :return: the measurements
        """
        sampler = VecGoalSampler(venv)
        policy_kwargs = with_paper_network({"net_arch": net_arch}, sampler.observation_space)
        if algorithm is PQN and venv.has_attr("goal_set"):
            policy_kwargs["descriptors"] = venv.get_attr("goal_set", 0)[0].descriptors
        with precision_of(algorithm, options) as arguments:
            model = algorithm(
                "MultiGoalPolicy" if algorithm is LEOPQN else "GoalInputPolicy",
                sampler,
                n_steps=self.n_steps,
                batch_size=self.batch_size,
                n_epochs=2,
                learning_rate=2e-4,
                policy_kwargs=policy_kwargs,
                seed=0,
                device=DEVICE,
                **arguments,
            )
            transitions = self.num_envs * self.n_steps
            model.learn(transitions)
            times = time_iterations(model, transitions, self.rounds)
            gradient_steps = 2 * transitions // model.minibatch_size
            result = {
                **{f"{part}_ms": milliseconds for part, milliseconds in times.items()},
                "ms_per_gradient_step": times["update"] / gradient_steps,
                "steps_per_second": round(1000 * transitions / times["iteration"]),
                "parameters": sum(parameter.numel() for parameter in model.policy.parameters()),
            }
            return result | gpu_activity(partial(model.learn, transitions, reset_num_timesteps=False))

    def dqn(self, venv: JaxVecEnv, replay_device: str) -> dict[str, Any]:
        """
        Time gradient steps of LEODQN with batches of 512.

        :param venv: the environments
        :param replay_device: where the transitions are stored
        :return: milliseconds per gradient step
        """
        kwargs: dict[str, Any] = {"buffer_size": 32 * self.num_envs, "learning_starts": 10**9, "device": DEVICE}
        if replay_device != "cpu":
            kwargs["replay_buffer_kwargs"] = {"storage_device": replay_device}
        with precision_of(LEODQN, {**PRECISIONS["TF32"], **kwargs}) as arguments:
            sampler = VecGoalSampler(venv)
            policy_kwargs = with_paper_network({"net_arch": self.nets["paper"]}, sampler.observation_space)
            model = LEODQN("MultiGoalPolicy", sampler, policy_kwargs=policy_kwargs, seed=0, **arguments)
            model.learn(16 * self.num_envs)
            return self._gradient_steps(model, 512)

    def sac(self) -> dict[str, Any]:
        """
        Time gradient steps of LEOSAC with batches of 256.

        :return: milliseconds per gradient step
        """
        env = gym.make("leo/MountainCarContinuous-v0")
        with precision_of(LEOSAC, PRECISIONS["TF32"]) as arguments:
            model = LEOSAC("MultiGoalPolicy", env, learning_starts=10**9, buffer_size=2_000, device=DEVICE, **arguments)
            model.learn(1_000)
            return self._gradient_steps(model, 256)

    def _gradient_steps(self, model: LEODQN | LEOSAC, batch_size: int) -> dict[str, Any]:
        model.set_logger(Logger(folder=None, output_formats=[]))
        steps = 4 * self.n_steps
        model.train(steps, batch_size)  # warm-up
        milliseconds = median_ms(partial(model.train, steps, batch_size), self.rounds) / steps
        return {"ms_per_gradient_step": milliseconds} | gpu_activity(partial(model.train, steps, batch_size))


def run_gpu_tests(log: Path, timeout: int) -> dict[str, Any]:
    """
    Run the tests marked ``gpu``.

    :param log: file for their output
    :param timeout: seconds
    :return: the exit code and the last line
    """
    files = [str(path) for path in sorted(ROOT.glob("tests/**/test_*.py")) if _has_gpu_tests(path)]
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "-rA", *files]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "wrappers"), *sys.path])}
    with log.open("w") as output:
        done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, timeout=timeout, env=environment)
    lines = log.read_text().strip().splitlines()
    return {"exit_code": done.returncode, "summary": lines[-1] if lines else ""}


def _has_gpu_tests(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return "mark.gpu" in text or "tests.devices" in text


def compile_in_background(env: str, num_envs: int) -> subprocess.Popen[bytes]:
    """
    Compile an environment in another process, into the cache that this process reads.

    :param env: one of :data:`ENVS`
    :param num_envs: number of parallel environments
    :return: the process
    """
    return subprocess.Popen([sys.executable, __file__, "--compile", env, "--num-envs", str(num_envs)])


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", nargs="+", choices=list(ENVS), default=list(ENVS))
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few environments, a small network, one round")
    parser.add_argument("--no-tests", action="store_true", help="do not run the tests marked gpu")
    parser.add_argument("--seconds", type=float, default=280, help="start no row later than this")
    parser.add_argument("--train", type=float, metavar="SECONDS", help="train in Craftax-Classic instead")
    parser.add_argument("--compile", choices=list(ENVS), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu_speed.json")
    options = parser.parse_args()
    if options.compile:
        JaxVecEnv(ENVS[options.compile](), options.num_envs).warmup()
        return
    results = ResultFile(options.out, (__doc__ or "").strip(), options.seconds)
    if options.train is not None:
        train(results, options.train, options.num_envs, DEVICE)
        return
    n_steps, nets = (4, {name: [16, 16] for name in NETS}) if options.quick else (32, NETS)
    num_envs, rounds = (8, 1) if options.quick else (options.num_envs, options.rounds)
    background = [compile_in_background(env, num_envs) for env in options.envs[1:]]
    if not options.no_tests:
        results.row("gpu tests", partial(run_gpu_tests, options.out.with_name("gpu_tests.txt"), 120))
    benchmark = Benchmark(results, num_envs, n_steps, rounds, nets)
    results.row("LEOSAC", benchmark.sac, env="MountainCarContinuous", precision="TF32")
    for env in options.envs:
        benchmark.run(env)
    for process in background:
        process.wait()
    synchronize()
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
