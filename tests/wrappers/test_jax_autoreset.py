"""Resets within the compiled step, as on a GPU, and the options of the compiler: the results must be those without them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch as th
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from leo_wrappers.jax_envs import BatchedEnv, JaxEnv, JaxVectorEnv, batch_functions, batched_env, compilation
from leo_wrappers.sb3 import JaxVecEnv, VecGoalSampler, step_arrays, step_tensors
from leo_wrappers.sb3.array_step import observations_on_host
from tests.devices import DEVICES
from tests.envs.vector_equivalence import assert_same, compare_rollouts
from tests.wanderer_env import Wanderer

N, STEPS = 40, 60
ACTIONS = np.random.default_rng(0).integers(2, size=(STEPS, N)).astype(np.int32)
UseDevice = Callable[[bool], None]


@pytest.fixture
def resets_on_device(monkeypatch: pytest.MonkeyPatch) -> UseDevice:
    """Choose where the next episodes start."""
    return lambda value: monkeypatch.setattr(batched_env, "_resets_on_device", lambda: value)


@pytest.fixture
def with_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile with the options for a GPU, which the compiler for the CPU ignores."""
    options = {compilation.COMMAND_BUFFERS: compilation._IN_COMMAND_BUFFERS}
    monkeypatch.setattr(compilation, "compiler_options", lambda: options)


def start(envs: BatchedEnv) -> Any:
    return envs.reset(envs.empty(envs.keys(list(range(N)))), np.ones(N, dtype=bool))[0]


class TestResetsOnTheDevice:
    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize(("time_limit", "group"), [(3, 16), (12, 16), (12, N)])
    def test_steps_equal_those_with_resets_by_the_host(
        self, time_limit: int, group: int, device: str, resets_on_device: UseDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also where an episode ends again before its next initial state is prepared."""
        monkeypatch.setattr(BatchedEnv, "_group", group)
        envs = BatchedEnv(Wanderer(time_limit=time_limit), N)
        resets: list[int] = []
        reset = envs.reset
        ours, theirs = start(envs), start(envs)
        monkeypatch.setattr(envs, "reset", lambda batch, rows, *rest: resets.append(rows.sum()) or reset(batch, rows, *rest))
        num_episodes = num_left_to_host = 0
        for actions in ACTIONS:
            resets_on_device(False)
            theirs, *expected = envs.step_and_reset(theirs, actions)
            by_host = len(resets)
            resets_on_device(True)
            ours, *got = envs.step_and_reset(ours, actions)
            num_left_to_host += len(resets) - by_host
            resets.clear()
            jax.tree.map(np.testing.assert_array_equal, got, expected)
            for name in ("keys", "episodes", "elapsed", "states"):
                jax.tree.map(np.testing.assert_array_equal, getattr(ours, name), getattr(theirs, name))
            num_episodes += int(got[-1].dones.sum())
        assert num_episodes > 4 * N and 0 < num_left_to_host < STEPS

    @pytest.mark.parametrize("device", DEVICES)
    def test_vector_environments_equal_single_environments(self, device: str, resets_on_device: UseDevice) -> None:
        resets_on_device(True)
        mode = AutoresetMode.SAME_STEP
        theirs = SyncVectorEnv([lambda: JaxEnv(Wanderer())] * 5, autoreset_mode=mode)
        assert compare_rollouts(JaxVectorEnv(Wanderer(), 5, autoreset_mode=mode), theirs, steps=60, seed=3) > 20

    def test_tensor_steps_equal_array_steps(self, resets_on_device: UseDevice) -> None:
        by_tensors, by_arrays = (VecGoalSampler(JaxVecEnv(Wanderer(), N), seed=0) for _ in range(2))
        for venv in (by_tensors, by_arrays):
            venv.seed(3)
            venv.reset()
        for actions in ACTIONS:
            resets_on_device(True)
            step = step_tensors(by_tensors, th.as_tensor(actions))
            resets_on_device(False)
            expected = step_arrays(by_arrays, actions)
            assert_same(observations_on_host(step.obs), expected.obs)
            assert_same(observations_on_host(step.final_obs), expected.final_obs)
            for name in ("rewards", "dones", "terminated", "goals_achieved"):
                np.testing.assert_array_equal(getattr(step, name), getattr(expected, name))
        np.testing.assert_array_equal(by_tensors.goal_selector.attempts, by_arrays.goal_selector.attempts)

    def test_one_transfer_and_one_compiled_function_per_step(
        self, resets_on_device: UseDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Unless an episode ends for which no initial state is ready, or many are missing."""
        envs = BatchedEnv(Wanderer(time_limit=1000, length=1000), N)
        monkeypatch.setattr(BatchedEnv, "_group", N)
        batch = start(envs)
        batch = batch._replace(prepared=batch.prepared, missing=jnp.zeros(N, dtype=bool))
        transfers: list[int] = []
        on_host = batched_env.on_host
        monkeypatch.setattr(batched_env, "on_host", lambda tree: transfers.append(1) or on_host(tree))
        for name in ("step", "start_episodes", "prepare_group"):
            monkeypatch.setattr(batch_functions, name, None)
        resets_on_device(True)
        for actions in ACTIONS[:5]:
            batch, *_ = envs.step_and_reset(batch, actions)
        assert len(transfers) == 5

    def test_warmup_compiles_what_steps_need(self, resets_on_device: UseDevice) -> None:
        resets_on_device(True)
        venv = JaxVecEnv(Wanderer(length=9), N)
        venv.warmup()
        before = batch_functions.step_and_start.outermost._cache_size()
        venv.reset()
        for actions in ACTIONS[:5]:
            venv.step(actions)
        assert batch_functions.step_and_start.outermost._cache_size() == before


class TestCompilerOptions:
    def test_none_on_a_cpu(self) -> None:
        if jax.default_backend() == "cpu":
            assert compilation.compiler_options() == {} and batch_functions.step.outermost is batch_functions.step.inner

    @pytest.mark.gpu
    @pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")
    def test_loops_and_branches_in_command_buffers_on_a_gpu(self) -> None:
        assert "WHILE" in compilation.compiler_options()[compilation.COMMAND_BUFFERS]
        assert batch_functions.step.outermost is not batch_functions.step.inner

    @pytest.mark.parametrize(("value", "known"), [(compilation._IN_COMMAND_BUFFERS, True), ("FUSION,NO_SUCH_KIND", False)])
    def test_an_option_that_jax_does_not_know_is_left_out(
        self, value: str, known: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        monkeypatch.setattr(compilation, "_IN_COMMAND_BUFFERS", value)
        monkeypatch.delenv("XLA_FLAGS", raising=False)
        found = compilation.compiler_options.__wrapped__()
        assert found == ({compilation.COMMAND_BUFFERS: value} if known else {})
        monkeypatch.setattr(compilation, "COMMAND_BUFFERS", "xla_gpu_no_such_option")
        assert compilation.compiler_options.__wrapped__() == {}

    def test_flags_of_the_user_take_precedence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        monkeypatch.setenv("XLA_FLAGS", f"--{compilation.COMMAND_BUFFERS}=FUSION")
        assert compilation.compiler_options.__wrapped__() == {}

    def test_functions_with_options_work_alone_and_inside_others(self, with_options: None) -> None:
        double = compilation.DeviceFunction(lambda factor, x: factor * x, static_argnums=0)
        assert double.outermost is not double.inner
        x = jnp.arange(3.0)
        np.testing.assert_array_equal(double(2, x), 2 * x)
        np.testing.assert_array_equal(jax.jit(lambda x: double(2, x) + 1)(x), 2 * x + 1)
        np.testing.assert_array_equal(jax.lax.scan(lambda c, _: (double(2, c), None), x, length=3)[0], 8 * x)

    def test_batches_can_be_stepped_in_a_scan(self, with_options: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            batch_functions, "step", compilation.DeviceFunction(batch_functions.step.function, **batch_functions.step.options)
        )
        envs = BatchedEnv(Wanderer(), N)
        one_by_one = start(envs)
        for actions in ACTIONS[:4]:
            one_by_one, _ = envs.step(one_by_one, actions)
        scanned, _ = jax.lax.scan(envs.step, start(envs), jnp.asarray(ACTIONS[:4]))
        jax.tree.map(np.testing.assert_array_equal, scanned.states, one_by_one.states)
