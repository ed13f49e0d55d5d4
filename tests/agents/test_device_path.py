"""The code for CUDA, run on the CPU: the same results as the code for the CPU, and no waiting for the device in updates."""

import copy
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, PQN, DualLEOPPO, DualLEOPQN
from leo_agents.learning.finite_checks import FiniteChecks
from leo_agents.learning.losses import goals_loss
from leo_agents.learning.optimization import FusedRAdam, optimizer_step
from leo_agents.networks.action_critic_head import ActionCriticHead
from leo_agents.networks.grouped_linear import grouped_linear
from leo_agents.networks.heads import DenseHead, FactoredHead
from leo_agents.networks.map_extractor import MapExtractor
from tests.agents.device_path import forced_device_path, found_syncs
from tests.agents.plane_point import PlanePoint
from tests.line_env import make_line
from tests.walled_box_env import WalledBoxEnv

SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [16]}, "seed": 0, "device": "cpu"}
ON_POLICY = {
    "LEOPQN": (LEOPQN, {}),
    "LEOPQN, goals drawn": (LEOPQN, {"goals_per_update": 2, "q_lambda": 0.5}),
    "LEOPQN, factored": (LEOPQN, {"head": "factored", "loss": "squared"}),
    "LEOPQN, paper mode": (LEOPQN, {"paper_mode": True}),
    "PQN": (PQN, {}),
    "DualLEOPQN": (DualLEOPQN, {}),
    "DualLEOPPO": (DualLEOPPO, {}),
}
OFF_POLICY = {
    "LEODQN": (LEODQN, make_line, {}),
    "LEODQN, goals drawn": (LEODQN, make_line, {"goals_per_update": 2, "double_q": True, "n_steps": 3}),
    "LEODQN, factored": (LEODQN, make_line, {"head": "factored"}),
    "LEOTD3": (LEOTD3, WalledBoxEnv, {"policy_delay": 2}),
    "LEOTD3, any goal": (LEOTD3, PlanePoint, {}),
    "LEOSAC": (LEOSAC, WalledBoxEnv, {"goals_per_update": 3}),
    "LEOSAC, any goal": (LEOSAC, PlanePoint, {}),
}


def on_policy_model(name: str, **kwargs: Any) -> Any:
    kind, options = ON_POLICY[name]
    options = {"n_steps": 8, "batch_size": 16, "n_epochs": 2, **SMALL, **options, **kwargs}
    return kind("MultiGoalPolicy", DummyVecEnv([make_line] * 4), **options)


def off_policy_model(name: str, **kwargs: Any) -> Any:
    kind, env, options = OFF_POLICY[name]
    options = {"learning_starts": 40, "batch_size": 32, "buffer_size": 1_000, **SMALL, **options, **kwargs}
    return kind("MultiGoalPolicy", env(), **options)


def weights(model: Any) -> list[th.Tensor]:
    return [parameter.detach().clone() for parameter in model.policy.parameters()]


def test_syncs_are_found() -> None:
    values, mask = th.arange(3.0), th.tensor([True, False, True])
    reads = [
        lambda: values[0].item(),
        lambda: values.tolist(),
        lambda: values.cpu(),
        lambda: values.numpy(),
        lambda: float(values[0]),
        lambda: bool(mask[0]),
        lambda: th.nonzero(mask),
        lambda: values[mask],
        lambda: values.__setitem__(mask, 0.0),
        lambda: 1 if mask.any() else 2,
    ]
    for read in reads:
        with found_syncs() as found:
            read()
        assert found
    with found_syncs() as found:
        th.where(mask, values * values[th.tensor([0, 1, 1])], values.sum()).lerp_(values, 0.5)
    assert not found


@pytest.mark.parametrize("name", OFF_POLICY)
def test_gradient_steps_do_not_wait(name: str) -> None:
    with forced_device_path():
        model = off_policy_model(name).learn(60)
        with found_syncs() as found:
            model.train(5, 32)
    assert found == []


# The student of DualLEOPPO is Stable-Baselines3's PPO, whose distributions are validated in every minibatch.
@pytest.mark.parametrize("name", [name for name in ON_POLICY if name != "DualLEOPPO"])
def test_minibatches_do_not_wait(name: str) -> None:
    """The host waits as often for a rollout with 12 minibatches as for one with 2."""
    counts = []
    for n_epochs in (1, 6):
        with forced_device_path():
            model = on_policy_model(name, n_epochs=n_epochs).learn(64)
            with found_syncs() as found:
                model.train()
        counts.append(len(found))
    assert counts[0] == counts[1] and counts[0] < 20


@pytest.mark.parametrize("name", [*OFF_POLICY, *ON_POLICY])
def test_training_gives_the_same_weights(name: str) -> None:
    # On a device, rollouts explore by a generator of their own.
    greedy = {} if name in {*OFF_POLICY, "DualLEOPPO"} else {"exploration_initial_eps": 0.0, "exploration_final_eps": 0.0}
    results = []
    for forced in (False, True):
        with forced_device_path(forced):
            model = off_policy_model(name).learn(100) if name in OFF_POLICY else on_policy_model(name, **greedy).learn(128)
        results.append(weights(model))
    th.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("columns", [None, [2, 0], [1, 1]])
@pytest.mark.parametrize("dtype", [th.float32, th.float64, th.bfloat16])
def test_dense_grouped_linear_equals_the_loop_over_groups(columns: list[int] | None, dtype: th.dtype) -> None:
    generator = th.Generator().manual_seed(0)
    parameter_dtype = th.float32 if dtype is th.bfloat16 else dtype
    shapes = [(9, 4), (6, 5, 4), (6, 5)]
    inputs = [th.randn(shape, generator=generator).to(parameter_dtype) for shape in shapes]
    groups, ids = th.tensor([2, 0, 0, 2, 5, 0, 2, 4, 4]), None if columns is None else th.tensor(columns)
    results = []
    for forced in (False, True):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs]
        with forced_device_path(forced), th.autocast("cpu", dtype=th.bfloat16, enabled=dtype is th.bfloat16):
            out = grouped_linear(leaves[0], leaves[1], leaves[2], groups, ids)
        assert out.dtype == dtype
        (out.float() * th.arange(out.numel()).view(out.shape)).sum().backward()
        results.append([out, *(leaf.grad for leaf in leaves)])
    tolerances = {"rtol": 2e-2, "atol": 2.0} if dtype is th.bfloat16 else {}
    th.testing.assert_close(results[0], results[1], **tolerances)


@pytest.mark.parametrize("make", [lambda: DenseHead(6, 5, 4), lambda: FactoredHead(6, 5, 4, rank=3)])
def test_heads_equal_those_for_the_cpu(make: Any) -> None:
    th.manual_seed(0)
    head, features = make(), th.randn(12, 6)
    for parameter in head.parameters():
        parameter.data += th.randn_like(parameter)
    goal_ids, actions = th.randint(5, (12,)), th.randint(4, (12,))
    results = []
    for forced in (False, True):
        with forced_device_path(forced):
            results.append(
                [
                    head(features),
                    head.taken(features, actions),
                    head.for_goals(features, goal_ids),
                    head.max_over_actions(features),
                    *head.best_actions(features, th.tensor([3, 1])),
                ]
            )
    th.testing.assert_close(results[0], results[1])


def test_critic_head_equals_that_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leo_agents.networks.action_critic_head.BLOCK_ELEMENTS", 2 * 6 * 8)
    th.manual_seed(0)
    head, features = ActionCriticHead(5, 7, 2, 8), th.randn(6, 5)
    head.weight.data += th.randn_like(head.weight)
    results = []
    for forced in (False, True):
        actions = th.linspace(-1, 1, 6 * 7 * 2).view(6, 7, 2).requires_grad_()
        with forced_device_path(forced):
            out = head.diagonal(features, actions)
        out.square().sum().backward()
        results.append([out, actions.grad])
    th.testing.assert_close(results[0], results[1])


def test_map_extractor_equals_that_for_the_cpu() -> None:
    """Outputs and gradients, also where counts are above their bound or bits and ids repeat."""
    parts = {
        "board": spaces.Box(0, 5, (4, 6), np.uint8),
        "items": spaces.Box(0, 15, (4, 6, 2), np.uint8),
        "held": spaces.Box(0, np.array([9, 3, 1]), (3,), np.uint8),
        "light": spaces.Box(-np.inf, np.inf, (2,), np.float32),
    }
    th.manual_seed(0)
    extractor = MapExtractor(spaces.Dict(parts), channels=(8, 16), number_width=10)
    observations = {
        "board": th.randint(6, (7, 4, 6)).float(),
        "items": th.randint(16, (7, 4, 6, 2)).float(),
        "held": th.randint(12, (7, 3)).float(),
        "light": th.randn(7, 2),
    }
    results = []
    for forced in (False, True):
        extractor.zero_grad()
        with forced_device_path(forced):
            features = extractor(observations)
        (features * th.linspace(-1.0, 1.0, features.numel()).view(features.shape)).sum().backward()
        results.append([features, *(parameter.grad.clone() for parameter in extractor.parameters())])
    th.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def make_parameters() -> list[th.nn.Parameter]:
    generator = th.Generator().manual_seed(0)
    return [th.nn.Parameter(th.randn(shape, generator=generator)) for shape in ((4, 3), (5,))]


def loss_of(parameters: list[th.nn.Parameter], step: int) -> th.Tensor:
    """Return a loss whose gradient depends on the step and the parameters."""
    generator = th.Generator().manual_seed(step)
    terms = [(parameter * th.randn(parameter.shape, generator=generator)).sin().sum() for parameter in parameters]
    return th.stack(terms).sum()


RADAM_OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "weight decay": {"weight_decay": 0.1, "lr": 0.01},
    "large eps": {"betas": (0.8, 0.99), "eps": 1e-2, "lr": 0.05},
    "never rectified": {"betas": (0.8, 0.6), "lr": 0.05},
}


@pytest.mark.parametrize("name", RADAM_OPTIONS)
@pytest.mark.parametrize("max_grad_norm", [0.5, 1e3])
def test_radam_on_the_device(name: str, max_grad_norm: float) -> None:
    """Compare after every step, with a learning rate that changes, a restored state, and both kinds of steps."""
    results = []
    for forced in (False, True):
        parameters = make_parameters()
        optimizer, history = FusedRAdam(parameters, **RADAM_OPTIONS[name]), []
        with forced_device_path(forced):
            for step in range(150):
                optimizer.param_groups[0]["lr"] *= 0.99
                optimizer_step(optimizer, loss_of(parameters, step), max_grad_norm)
                history.append([parameter.detach().clone() for parameter in parameters])
                if step in (3, 60):
                    state = copy.deepcopy(optimizer.state_dict())
                    optimizer = FusedRAdam(parameters)
                    optimizer.load_state_dict(state)
        assert int(optimizer.param_groups[0]["num_steps"]) == 150
        assert [float(state["step"]) for state in optimizer.state.values()] == [150.0, 150.0]
        results.append(history)
    th.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("first_forced", [False, True])
def test_radam_state_moves_between_devices(first_forced: bool) -> None:
    results = []
    for switch in (False, True):
        parameters = make_parameters()
        optimizer = FusedRAdam(parameters, lr=0.05)
        for step in range(12):
            with forced_device_path(first_forced != (switch and step >= 3)):
                if step == 3:
                    state = copy.deepcopy(optimizer.state_dict())
                    optimizer = FusedRAdam(parameters)
                    optimizer.load_state_dict(state)
                optimizer_step(optimizer, loss_of(parameters, step))
        results.append(parameters)
    th.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [FusedRAdam, lambda parameters: th.optim.Adam(parameters, fused=True)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_steps_that_are_not_finite_are_not_applied(make: Any, value: float) -> None:
    """Neither is any later step, until the error was raised; moments and numbers of steps are those before the step."""
    parameters, others = make_parameters(), make_parameters()
    optimizer, other, checks = make(parameters), make(others), FiniteChecks()
    with forced_device_path():
        for step in range(8):
            optimizer_step(optimizer, loss_of(parameters, step), 1.0, checks)
            optimizer_step(other, loss_of(others, step), 1.0, checks)
        with found_syncs() as found:
            optimizer_step(optimizer, parameters[0].sum() + value * parameters[1].sum(), 1.0, checks)
            optimizer_step(optimizer, loss_of(parameters, 8), 1.0, checks)
        assert found == []
        with pytest.raises(FloatingPointError, match=r"expected finite gradients, got a norm of (nan|inf)"):
            checks.raise_if_failed()
        checks.raise_if_failed()
        for step in (8, 9):
            optimizer_step(optimizer, loss_of(parameters, step), 1.0, checks)
            optimizer_step(other, loss_of(others, step), 1.0, checks)
    th.testing.assert_close(parameters, others, rtol=0, atol=0)


def test_steps_of_other_optimizers_are_checked_at_once() -> None:
    parameters = make_parameters()
    before = copy.deepcopy(parameters)
    optimizer, checks = th.optim.SGD(parameters, lr=1.0), FiniteChecks(["a", "b"])
    with forced_device_path():
        with pytest.raises(FloatingPointError, match="finite gradients"):
            optimizer_step(optimizer, float("nan") * parameters[0].sum(), 1.0, checks)
        outputs = parameters[0][:, :2] * th.tensor([1.0, float("nan")])
        loss = goals_loss(outputs, th.zeros(4, 2), "squared", False, checks=checks)
        with pytest.raises(FloatingPointError, match="for 1 of 2 goals: b; "):
            optimizer_step(optimizer, loss, 1.0, checks)
    assert all(th.equal(first, second) for first, second in zip(parameters, before, strict=True))


@pytest.mark.parametrize("goals", [None, [3, 0, 2]])
def test_the_first_loss_that_is_not_finite_is_reported(goals: list[int] | None) -> None:
    names, ids = ["a", "b", "c", "d"], None if goals is None else th.tensor(goals)
    count = 4 if goals is None else 3
    checks = FiniteChecks(names)
    with forced_device_path():
        for invalid in ([], [1, 2], [0]):
            outputs = th.zeros(5, count)
            outputs[0, invalid] = float("nan")
            with found_syncs() as found:
                goals_loss(outputs, th.zeros(5, count), "squared", True, goals=ids, checks=checks)
            assert found == []
        with pytest.raises(FloatingPointError) as caught:
            checks.raise_if_failed()
        checks.raise_if_failed()
    with pytest.raises(FloatingPointError) as expected:
        outputs = th.zeros(5, count)
        outputs[0, [1, 2]] = float("nan")
        goals_loss(outputs, th.zeros(5, count), "squared", True, goals=ids, checks=FiniteChecks(names))
    assert sorted(str(caught.value)) == sorted(str(expected.value))
    assert ("b, c" if goals is None else "a, c") in str(caught.value)


@pytest.mark.parametrize("name", ["LEOPQN", "PQN", "DualLEOPQN"])
def test_rollouts_with_nan_raise_and_leave_the_weights(name: str) -> None:
    with forced_device_path():
        model = on_policy_model(name).learn(64)
        with th.no_grad():
            next(model.policy.q_net.parameters())[0] = float("nan")
        before = weights(model)
        with pytest.raises(FloatingPointError, match="the update was not applied"):
            model.train()
    networks = weights(model)
    assert all(th.equal(first.nan_to_num(7.0), second.nan_to_num(7.0)) for first, second in zip(before, networks, strict=True))


@pytest.mark.parametrize("name", OFF_POLICY)
def test_gradient_steps_with_nan_raise_when_the_log_is_written(name: str) -> None:
    with forced_device_path():
        model = off_policy_model(name).learn(60)
        for values in model.replay_buffer.next_observations.values():
            values[:] = np.nan
        for values in model.replay_buffer.observations.values():
            values[:] = np.nan
        before = weights(model)
        model.train(3, 32)
        with pytest.raises(FloatingPointError, match=r"the update was not applied"):
            model.dump_logs()
    targets = {id(parameter) for parameter in target_parameters(model)}
    for parameter, first in zip(model.policy.parameters(), before, strict=True):
        assert id(parameter) in targets or th.equal(parameter, first)


def target_parameters(model: Any) -> list[th.nn.Parameter]:
    names = ("q_net_target", "critic_target", "actor_target")
    return [
        parameter for name in names if hasattr(model.policy, name) for parameter in getattr(model.policy, name).parameters()
    ]
