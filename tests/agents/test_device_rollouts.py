"""Rollouts that stay on the device of the networks equal those through the host, with the same actions."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from torch.overrides import TorchFunctionMode

import leo_envs  # noqa: F401
from leo_agents import LEOPQN, PQN, DualLEOPQN, ExactCheckpoints, JumpStart
from leo_agents.algorithms.exploration import epsilon_greedy_on_device
from leo_agents.networks import device as device_module
from leo_wrappers.sb3 import GymVecEnv, JaxVecEnv, VecGoalSampler
from tests.devices import DEVICES
from tests.line_env import make_line
from tests.wanderer_env import Wanderer

N, STEPS = 6, 8
SHARED = {"n_steps": STEPS, "batch_size": 16, "seed": 4}
ENVIRONMENTS: dict[str, Callable[[], Any]] = {
    "jax": lambda: JaxVecEnv(Wanderer(), N),
    "jax, ended by goals": lambda: VecGoalSampler(JaxVecEnv(Wanderer(), N), on_success="terminate"),
    "grid": lambda: GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=N, time_limit=5, autoreset_mode="SameStep")),
    "dummy, normalized": lambda: DummyVecEnv([lambda: make_line(start=None, trap=4, horizon=6)] * N),
}
KINDS: dict[str, dict[str, Any]] = {
    "LEOPQN": {"kind": LEOPQN, "policy": "MultiGoalPolicy"},
    "PQN": {"kind": PQN, "policy": "GoalInputPolicy", "her_ratio": 0.5},
    "DualLEOPQN": {"kind": DualLEOPQN, "policy": "MultiInputPolicy", "goal_input": "one_hot", "jump_start": JumpStart(4)},
}
Rollout = dict[str, th.Tensor]


@pytest.fixture
def on_device() -> Iterator[None]:
    """Treat the CPU as a device that the host runs ahead of."""
    with mock.patch.object(device_module, "_is_asynchronous", lambda _: True):
        yield


def make_model(name: str, env: VecEnv, device: str = "cpu", **kwargs: Any) -> Any:
    options = {**KINDS[name], **kwargs}
    kind, policy = options.pop("kind"), options.pop("policy")
    network = {"net_arch": [16]}
    return kind(policy, env, device=device, policy_kwargs=network, **{**SHARED, **options})


def contents(rollout: Any) -> Rollout:
    final_rows, final_observations = rollout.final_observations()
    names = ("actions", "goal_ids", "packed_masks", "terminated", "dones")
    tensors = {name: getattr(rollout, name) for name in names} | {"final_rows": final_rows}
    tensors |= {f"final {key}": values for key, values in final_observations.items()}
    tensors |= {f"obs {key}": values for key, values in rollout._observations.items()}
    return {name: values.cpu().clone() for name, values in tensors.items()}


def record(model: Any) -> list[Rollout]:
    """Let a model keep the contents of its rollouts."""
    rollouts: list[Rollout] = []
    train = model.train

    def record_and_train() -> None:
        rollouts.append(contents(model.rollout_buffer))
        train()

    model.train = record_and_train
    return rollouts


def repeat_actions(model: Any, rollouts: list[Rollout]) -> None:
    """Let a model that acts through the host take the actions of given rollouts."""
    actions = iter(np.concatenate([rollout["actions"].numpy() for rollout in rollouts]))
    model._explore = lambda greedy_actions: next(actions)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", KINDS)
def test_rollouts_equal_those_through_the_host(name: str, environment: str, device: str) -> None:
    with mock.patch.object(device_module, "_is_asynchronous", lambda _: True):
        model = make_model(name, ENVIRONMENTS[environment](), device)
    with mock.patch.object(device_module, "_is_asynchronous", lambda _: False):
        through_host = make_model(name, ENVIRONMENTS[environment](), device)
    assert model.device_generator is not None and through_host.device_generator is None
    # One rollout only on a GPU, where weights are not equal bit for bit after an update.
    num_rollouts = 4 if device == "cpu" else 1
    rollouts, expected_rollouts = record(model), record(through_host)
    th.manual_seed(0)
    model.learn(num_rollouts * STEPS * N)
    repeat_actions(through_host, rollouts)
    th.manual_seed(0)
    through_host.learn(num_rollouts * STEPS * N)
    assert len(rollouts) == num_rollouts and sum(int(rollout["dones"].sum()) for rollout in rollouts) > 0
    for rollout, expected in zip(rollouts, expected_rollouts, strict=True):
        th.testing.assert_close(rollout, expected, rtol=0, atol=0)
    for attribute in ("seen", "attempts", "successes"):
        values = [getattr(one.goal_sampler.goal_selector, attribute) for one in (model, through_host)]
        np.testing.assert_array_equal(*values)
    assert list(model.ep_success_buffer) == list(through_host.ep_success_buffer) != []
    for key, array in model._last_obs.items():
        np.testing.assert_array_equal(array, through_host._last_obs[key])
    if device == "cpu":
        th.testing.assert_close(model.policy.state_dict(), through_host.policy.state_dict(), rtol=0, atol=0)


class HostReads(TorchFunctionMode):
    """Records the tensors that are transferred to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in ("cpu", "numpy", "item", "tolist", "__bool__", "__int__", "__float__", "nonzero"):
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


def test_no_tensor_is_read_by_the_host_during_a_rollout(on_device: None) -> None:
    """With environments on the device; only once at the end of the rollout, for Stable-Baselines3's last observations."""
    model = make_model("LEOPQN", JaxVecEnv(Wanderer(), N)).learn(STEPS * N)
    reads = HostReads()
    seen_by_steps = []
    with reads:
        model.learn(
            STEPS * N, reset_num_timesteps=False, callback=lambda values, _: seen_by_steps.append(len(reads.found)) is None
        )
    assert len(seen_by_steps) == STEPS and seen_by_steps[-1] == seen_by_steps[0] == 0
    assert reads.found


def test_exploration_on_the_device() -> None:
    greedy = th.full((20_000,), 3)
    generator = th.Generator().manual_seed(0)
    state = generator.get_state()
    actions = epsilon_greedy_on_device(greedy, 5, 0.4, generator)
    counts = th.bincount(actions, minlength=5) / len(actions)
    # Standard errors are below 0.0035.
    th.testing.assert_close(counts, th.tensor([0.08, 0.08, 0.08, 0.68, 0.08]), rtol=0, atol=0.015)
    assert th.equal(actions, epsilon_greedy_on_device(greedy, 5, 0.4, generator.set_state(state)))
    assert th.equal(epsilon_greedy_on_device(greedy, 5, 0.0, generator), greedy)
    assert not th.equal(epsilon_greedy_on_device(greedy, 5, 1.0, generator), actions)


def test_exploration_has_the_models_seed(on_device: None) -> None:
    states = [make_model("LEOPQN", JaxVecEnv(Wanderer(), N), seed=seed).exploration_state for seed in (4, 4, 5)]
    assert th.equal(states[0], states[1]) and not th.equal(states[0], states[2])


@pytest.mark.parametrize("name", KINDS)
def test_a_resumed_run_equals_an_uninterrupted_one(name: str, on_device: None, tmp_path: Any) -> None:
    total = 6 * STEPS * N
    expected = make_model(name, JaxVecEnv(Wanderer(), N)).learn(total)
    make_model(name, JaxVecEnv(Wanderer(), N)).learn(total, callback=ExactCheckpoints(tmp_path, save_freq=total // 2))
    model = KINDS[name]["kind"].resume(tmp_path, device="cpu")
    assert model.num_timesteps == total // 2
    model.learn(total - model.num_timesteps, reset_num_timesteps=False)
    th.testing.assert_close(model.policy.state_dict(), expected.policy.state_dict(), rtol=0, atol=0)
    assert th.equal(model.exploration_state, expected.exploration_state)
    np.testing.assert_array_equal(model._last_obs["goal_id"], expected._last_obs["goal_id"])


def test_a_model_saved_and_stopped_in_a_callback_can_be_continued(on_device: None, tmp_path: Any) -> None:
    model = make_model("LEOPQN", JaxVecEnv(Wanderer(), N))

    def save_and_stop(values: dict[str, Any], _: Any) -> bool:
        model.save(tmp_path / "model")
        return bool(model.num_timesteps < 11 * N)

    model.learn(100 * N, callback=save_and_stop)
    assert model.num_timesteps == 11 * N
    assert {type(values) for values in model._last_obs.values()} == {np.ndarray}
    loaded = LEOPQN.load(tmp_path / "model", env=JaxVecEnv(Wanderer(), N), device="cpu")
    for one in (model, loaded):
        one.learn(STEPS * N, reset_num_timesteps=False)
        assert one.num_timesteps == (11 + STEPS) * N
