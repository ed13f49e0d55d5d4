"""
Training speed on one GPU: environments, rollouts and updates, alone and together, and the fraction of time without work.

Run ``leo bench gpu`` on a machine with a GPU; after 280 seconds, compilation included, no row starts. Results are written to
``benchmarks/results/gpu_speed.json`` after every row, so that nothing is lost if it is stopped, and the output of the tests
marked ``gpu``, which run last, to ``gpu_tests.txt`` in the same folder. A row that fails has the error instead of numbers.
``--quick`` is a short run with few environments, also without a GPU. ``--xla`` times the environments with and without the
library's options of JAX's compiler instead. ``--train SECONDS`` trains LEOPQN in Craftax-Classic for that long instead,
evaluates all goals (success within 500 steps, epsilon 0.05) halfway and at the end, and writes ``gpu_training.json``.

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
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium as gym
import jax
import numpy as np
import torch as th
from gpu_marked_tests import has_gpu_tests, run_gpu_tests
from gpu_timing import ResultFile, gpu_activity, median_ms, time_iterations
from gpu_training import train
from stable_baselines3.common.logger import Logger

import leo_envs  # noqa: F401
from leo_agents import LEODQN, LEOPQN, LEOSAC, PQN
from leo_agents.algorithms.on_policy_algorithm import with_paper_network
from leo_agents.learning.precision import matmul_precision
from leo_envs.craftax import Craftax, CraftaxClassic
from leo_wrappers.jax_envs import batch_functions
from leo_wrappers.sb3 import ArrayStep, JaxVecEnv, VecGoalSampler, step_arrays, step_tensors

ROOT = Path(__file__).parents[1]
ENVS: dict[str, Any] = {"CraftaxClassic": CraftaxClassic, "Craftax": Craftax}
NETS = {"paper": [1024] * 4, "narrow": [1024, 1024, 1024, 256]}
PRECISIONS: dict[str, dict[str, bool]] = {
    "float32": {"tf32": False, "amp": False},
    "TF32": {"tf32": True, "amp": False},
    "bfloat16": {"tf32": True, "amp": True},
}
# Network, precision, CUDA graph; what tells most comes first.
LEOPQN_ROWS = (
    ("paper", "TF32", True),
    ("narrow", "TF32", True),
    ("paper", "bfloat16", True),
    ("paper", "float32", True),
    ("paper", "TF32", False),
    ("narrow", "bfloat16", True),
    ("paper", "bfloat16", False),
    ("paper", "float32", False),
    ("narrow", "TF32", False),
)
DEVICE = "cuda" if th.cuda.is_available() else "cpu"


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
        Measure everything in one environment, what matters most first.

        :param env: one of :data:`ENVS`
        """
        venv = JaxVecEnv(ENVS[env](), self.num_envs)
        row = partial(self.results.row, env=env)
        row("compile", lambda: {"ms": median_ms(venv.warmup, 1)})
        self.leopqn(row, venv, LEOPQN_ROWS[:1])
        row("environment", partial(self.environment, venv))
        options = {**PRECISIONS["TF32"], "cuda_graph": True}
        row("PQN", partial(self.pqn, PQN, venv, self.nets["paper"], options), net="paper", precision="TF32", cuda_graph=True)
        for device in (DEVICE, "cpu"):
            row("LEODQN", partial(self.dqn, venv, device), net="paper", precision="TF32", replay=device)
        self.leopqn(row, venv, LEOPQN_ROWS[1:])

    def leopqn(self, row: Callable[..., None], venv: JaxVecEnv, settings: tuple[tuple[str, str, bool], ...]) -> None:
        """
        Measure LEOPQN with several settings.

        :param row: adds a row of results
        :param venv: the environments
        :param settings: some of :data:`LEOPQN_ROWS`
        """
        for net, precision, graph in settings:
            measure = partial(self.pqn, LEOPQN, venv, self.nets[net], {**PRECISIONS[precision], "cuda_graph": graph})
            row("LEOPQN", measure, net=net, precision=precision, cuda_graph=graph)

    def environment(self, venv: JaxVecEnv) -> dict[str, Any]:
        """
        Time steps of the environments with random actions.

        :param venv: the environments
        :return: milliseconds per step: with goals on the device and through the host, without goals, and of the host for
            choosing goals; and the activity of the GPU without goals
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

        functions: dict[str, Callable[[], None]] = {
            "tensors": partial(tensors, sampler),
            "tensors_without_goals": partial(tensors, venv),
            "arrays": arrays,
        }
        result = {}
        for name, function in functions.items():
            function()  # warm-up
            result[f"{name}_ms"] = median_ms(function, self.rounds) / self.n_steps
        result["goals_ms"] = self.choosing_goals(sampler, functions["tensors"])
        activity = gpu_activity(functions["tensors_without_goals"])
        return {**result, "steps_per_second": round(1000 * self.num_envs / result["tensors_ms"]), **activity}

    def choosing_goals(self, sampler: VecGoalSampler, steps: Callable[[], None]) -> float:
        """
        Time what the sampler does on the host: choosing and rewarding goals, and their statistics.

        :param sampler: the sampler
        :param steps: takes steps
        :return: milliseconds per step
        """
        command, spent = sampler._command_goals, []

        def timed(step: ArrayStep) -> ArrayStep:
            started = time.perf_counter()
            result = command(step)
            spent.append(time.perf_counter() - started)
            return result

        with mock.patch.object(sampler, "_command_goals", timed):
            steps()
        return 1000 * sum(spent) / len(spent)

    def compiler_options(self, env: str) -> None:
        """
        Time the environments with the library's options of XLA, and without.

        :param env: one of :data:`ENVS`
        """
        for name in ("library", "none"):
            venv = JaxVecEnv(ENVS[env](), self.num_envs)
            with without_options() if name == "none" else nullcontext():
                self.results.row("XLA options", partial(self._options, venv), env=env, options=name)

    def _options(self, venv: JaxVecEnv) -> dict[str, Any]:
        """Time environments; "digest" is equal if the same actions had the same results."""
        compiling = median_ms(venv.warmup, 1)
        venv.seed(0)
        venv.reset()
        rng = np.random.default_rng(0)
        digest = hashlib.sha256()
        for _ in range(2 * self.n_steps):
            step = step_arrays(venv, rng.integers(int(venv.action_space.n), size=self.num_envs))  # type: ignore[attr-defined]
            digest.update(step.goals_achieved.tobytes() + step.dones.tobytes())
        return {"compile_ms": compiling, "digest": digest.hexdigest()[:16], **self.environment(venv)}

    def pqn(
        self, algorithm: type[LEOPQN | PQN], venv: JaxVecEnv, net_arch: list[int], options: dict[str, Any]
    ) -> dict[str, Any]:
        """
        Time iterations of an on-policy algorithm; with the paper's network and TF32 also the activity of the GPU.

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
        with matmul_precision(th.device(DEVICE), options["tf32"]):
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
                **options,
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
            if net_arch == self.nets["paper"] and options["tf32"] and not options["amp"]:
                result |= gpu_activity(partial(model.learn, transitions, reset_num_timesteps=False))
            return result

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
        arguments = {**PRECISIONS["TF32"], "cuda_graph": True, **kwargs}
        with matmul_precision(th.device(DEVICE), tf32=True):
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
        arguments = {**PRECISIONS["TF32"], "cuda_graph": True}
        with matmul_precision(th.device(DEVICE), tf32=True):
            model = LEOSAC("MultiGoalPolicy", env, learning_starts=10**9, buffer_size=2_000, device=DEVICE, **arguments)
            model.learn(1_000)
            return self._gradient_steps(model, 256)

    def _gradient_steps(self, model: LEODQN | LEOSAC, batch_size: int) -> dict[str, Any]:
        model.set_logger(Logger(folder=None, output_formats=[]))
        steps = self.n_steps
        model.train(steps, batch_size)  # warm-up
        milliseconds = median_ms(partial(model.train, steps, batch_size), self.rounds) / steps
        return {"ms_per_gradient_step": milliseconds} | gpu_activity(partial(model.train, steps, batch_size))


@contextmanager
def without_options() -> Iterator[None]:
    """Context in which steps of environments are compiled without the library's options of XLA."""
    step = batch_functions.step_and_start
    ours, step.outermost = step.outermost, jax.jit(step.function, **step.options)
    try:
        yield
    finally:
        step.outermost = ours


def compile_in_background(env: str, num_envs: int) -> subprocess.Popen[bytes]:
    """
    Compile an environment in another process, into the cache of both.

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
    parser.add_argument("--xla", action="store_true", help="time environments with and without the options of XLA instead")
    parser.add_argument("--compile", choices=list(ENVS), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="the result file")
    options = parser.parse_args()
    if options.compile:
        with without_options() if options.xla else nullcontext():
            JaxVecEnv(ENVS[options.compile](), options.num_envs).warmup()
        return
    options.out = (
        options.out or ROOT / "benchmarks" / "results" / f"gpu_{'speed' if options.train is None else 'training'}.json"
    )
    results = ResultFile(options.out, (__doc__ or "").strip(), options.seconds)
    if options.train is not None:
        train(results, options.train, options.num_envs, DEVICE)
        return
    n_steps, nets = (4, {name: [16, 16] for name in NETS}) if options.quick else (32, NETS)
    num_envs, rounds = (8, 1) if options.quick else (options.num_envs, options.rounds)
    # Without spare cores, compiling would slow down what is measured meanwhile.
    spare_cores = len(os.sched_getaffinity(0)) >= 8
    background = [compile_in_background(env, num_envs) for env in options.envs[1:] if spare_cores]
    benchmark = Benchmark(results, num_envs, n_steps, rounds, nets)
    for env in options.envs:
        if options.xla:
            benchmark.compiler_options(env)
        else:
            benchmark.run(env)
    if not options.xla:
        results.row("LEOSAC", benchmark.sac, env="MountainCarContinuous", precision="TF32")
    for process in background:
        process.wait()
    log = options.out.with_name("gpu_tests.txt")
    log.unlink(missing_ok=True)
    for path in [] if options.no_tests else filter(has_gpu_tests, sorted(ROOT.glob("tests/**/test_*.py"))):
        results.row("gpu tests", partial(run_gpu_tests, path, log, 120), file=path.name)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
