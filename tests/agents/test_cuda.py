"""Learners on a CUDA device: no waiting, and CUDA graphs that give the same weights as updates without them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, PQN, DualLEOPPO, DualLEOPQN
from leo_agents.learning.cuda_graph import WARMUP, GraphedFunction
from leo_agents.learning.optimization import FusedRAdam, optimizer_step
from leo_agents.learning.precision import matmul_precision
from leo_agents.networks.grouped_linear import grouped_linear
from leo_agents.networks.heads import DenseHead, FactoredHead
from leo_agents.networks.map_extractor import MapExtractor
from tests.agents.plane_point import PlanePoint
from tests.line_env import make_line
from tests.walled_box_env import WalledBoxEnv

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not th.cuda.is_available(), reason="needs a CUDA device")]

SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [16]}, "seed": 0, "device": "cuda"}
ON_POLICY: dict[str, Any] = {
    "LEOPQN": (LEOPQN, {}),
    "LEOPQN, goals drawn": (LEOPQN, {"goals_per_update": 2, "q_lambda": 0.5}),
    "LEOPQN, factored": (LEOPQN, {"head": "factored", "loss": "squared"}),
    "LEOPQN, paper mode": (LEOPQN, {"paper_mode": True}),
    "LEOPQN, bfloat16": (LEOPQN, {"amp": True}),
    "PQN": (PQN, {}),
    "DualLEOPQN": (DualLEOPQN, {}),
    "DualLEOPPO": (DualLEOPPO, {}),
}
OFF_POLICY: dict[str, Any] = {
    "LEODQN": (LEODQN, make_line, {}),
    "LEODQN, goals drawn": (LEODQN, make_line, {"goals_per_update": 2, "double_q": True, "n_steps": 3}),
    "LEODQN, bfloat16": (LEODQN, make_line, {"amp": True}),
    "LEOTD3": (LEOTD3, WalledBoxEnv, {"policy_delay": 2}),
    "LEOTD3, any goal": (LEOTD3, PlanePoint, {}),
    "LEOSAC": (LEOSAC, WalledBoxEnv, {"goals_per_update": 3}),
    "LEOSAC, any goal": (LEOSAC, PlanePoint, {"amp": True}),
}


def on_policy_model(name: str, **kwargs: Any) -> Any:
    kind, options = ON_POLICY[name]
    options = {"n_steps": 8, "batch_size": 16, **({} if kind is DualLEOPPO else {"n_epochs": 2}), **SMALL, **options, **kwargs}
    return kind("MultiGoalPolicy", DummyVecEnv([make_line] * 4), **options)


def off_policy_model(name: str, **kwargs: Any) -> Any:
    kind, env, options = OFF_POLICY[name]
    options = {"learning_starts": 40, "batch_size": 32, "buffer_size": 1_000, **SMALL, **options, **kwargs}
    return kind("MultiGoalPolicy", env(), **options)


def weights(model: Any) -> list[th.Tensor]:
    return [parameter.detach().cpu().clone() for parameter in model.policy.parameters()]


@contextmanager
def no_waiting() -> Iterator[None]:
    """Context in which an operation that waits for the device is an error."""
    th.cuda.synchronize()
    th.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        th.cuda.set_sync_debug_mode("default")


def batches(count: int, num_goals: int = 5) -> list[tuple[Any, ...]]:
    """Return observations, actions and targets of the line environment, on the device."""
    generator = th.Generator().manual_seed(0)
    result = []
    for _ in range(count):
        observations = {"observation": 4.0 * th.rand(16, 1, generator=generator).cuda()}
        actions = th.randint(2, (16,), generator=generator).cuda()
        result.append((observations, actions, th.rand(16, num_goals, generator=generator).cuda()))
    return result


@pytest.mark.parametrize("columns", [None, [2, 0], [1, 1]])
@pytest.mark.parametrize("dtype", [th.float32, th.float64, th.bfloat16])
def test_grouped_linear_equals_that_of_the_cpu(columns: list[int] | None, dtype: th.dtype) -> None:
    generator = th.Generator().manual_seed(0)
    parameter_dtype = th.float32 if dtype is th.bfloat16 else dtype
    shapes = [(9, 4), (6, 5, 4), (6, 5)]
    inputs = [th.randn(shape, generator=generator).to(parameter_dtype) for shape in shapes]
    groups = th.tensor([2, 0, 0, 2, 5, 0, 2, 4, 4])
    results = []
    for device in ("cpu", "cuda"):
        leaves = [tensor.to(device, copy=True).requires_grad_() for tensor in inputs]
        ids = None if columns is None else th.tensor(columns, device=device)
        with th.autocast(device, dtype=th.bfloat16, enabled=dtype is th.bfloat16):
            out = grouped_linear(*leaves, groups.to(device), ids)
        (out.float() * th.arange(out.numel(), device=device).view(out.shape)).sum().backward()
        results.append([out.cpu(), *(leaf.grad.cpu() for leaf in leaves)])
    tolerances = {"rtol": 2e-2, "atol": 2.0} if dtype is th.bfloat16 else {}
    th.testing.assert_close(results[0], results[1], **tolerances)


def results_of(module: th.nn.Module, compute: Callable[[th.device], th.Tensor]) -> list[list[th.Tensor]]:
    """Return what a module computes on the CPU and on the device, and the gradients of its parameters."""
    results = []
    for device in (th.device("cpu"), th.device("cuda")):
        module.to(device).zero_grad()
        out = compute(device)
        (out * th.linspace(-1.0, 1.0, out.numel(), device=device).view(out.shape)).sum().backward()
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        results.append([tensor.detach().cpu().clone() for tensor in (out, *gradients)])
    return results


@pytest.mark.parametrize("make", [lambda: DenseHead(6, 5, 4), lambda: FactoredHead(6, 5, 4, rank=3)])
@pytest.mark.parametrize("method", ["taken", "for_goals", "max_over_actions", "forward"])
def test_heads_equal_those_of_the_cpu(make: Any, method: str) -> None:
    th.manual_seed(0)
    head, features, ids = make(), th.randn(12, 6), th.randint(4, (12,))
    for parameter in head.parameters():
        parameter.data += th.randn_like(parameter)
    given = [features, ids] if method in ("taken", "for_goals") else [features]
    cpu, cuda = results_of(head, lambda device: getattr(head, method)(*(tensor.to(device) for tensor in given)))
    th.testing.assert_close(cpu, cuda, rtol=1e-4, atol=1e-4)


def test_map_extractor_equals_that_of_the_cpu() -> None:
    parts = {
        "board": spaces.Box(0, 5, (4, 6), np.uint8),
        "items": spaces.Box(0, 15, (4, 6, 2), np.uint8),
        "held": spaces.Box(0, np.array([9, 3, 1]), (3,), np.uint8),
    }
    th.manual_seed(0)
    extractor = MapExtractor(spaces.Dict(parts), channels=(8, 16), number_width=10)
    observations = {
        "board": th.randint(6, (7, 4, 6)).float(),
        "items": th.randint(16, (7, 4, 6, 2)).float(),
        "held": th.randint(12, (7, 3)).float(),
    }
    cpu, cuda = results_of(extractor, lambda device: extractor({key: part.to(device) for key, part in observations.items()}))
    th.testing.assert_close(cpu, cuda, rtol=1e-2, atol=1e-2)  # convolutions are in TensorFloat-32 by default


@pytest.mark.parametrize("name", ["LEOPQN", "LEOPQN, goals drawn"])
def test_rollouts_are_learned_without_waiting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = on_policy_model(name).learn(32 * 8)
    monkeypatch.setattr(model.learner.finite_checks, "raise_if_failed", lambda: None)
    with no_waiting():
        goals = model.learner.sample_goals()
        targets = model.learner.rollout_targets(model.rollout_buffer, goals)
        model.learner.fit(model.rollout_buffer, targets, goals)


@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("name", ["LEOPQN", "LEOPQN, factored", "LEOPQN, paper mode", "LEOPQN, bfloat16"])
def test_updates_do_not_wait(name: str, cuda_graph: bool) -> None:
    model = on_policy_model(name, cuda_graph=cuda_graph)
    model.policy.set_training_mode(True)
    given = batches(WARMUP + 6)
    for batch in given[: WARMUP + 1]:
        model.learner.graphed_update(*batch, None)
    with no_waiting():
        for batch in given[WARMUP + 1 :]:
            model.learner.graphed_update(*batch, None)
    assert len(model.learner.graphed_update._graphs) == int(cuda_graph)


@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("name", OFF_POLICY)
def test_gradient_steps_do_not_wait(name: str, cuda_graph: bool) -> None:
    model = off_policy_model(name, cuda_graph=cuda_graph).learn(60)
    sampled = [model._sample_batch(32) for _ in range(2 * WARMUP + 6)]
    goals = [model._sample_goals() if name.startswith("LEODQN") else model._goals_of_update(batch) for batch in sampled]

    def step(number: int) -> None:
        if name.startswith("LEODQN"):
            model.learner.graphed_update_from(sampled[number], goals[number])
            model._update_target_network()
        else:
            model._graphed_update(sampled[number], goals[number], number % 2 == 0)

    model.policy.set_training_mode(True)
    for number in range(2 * WARMUP + 2):
        step(number)
    with no_waiting():
        for number in range(2 * WARMUP + 2, len(sampled)):
            step(number)


@pytest.mark.parametrize("name", ["LEOPQN", "LEOPQN, factored", "LEOPQN, paper mode", "LEOPQN, bfloat16"])
def test_graphs_give_the_same_weights(name: str) -> None:
    """With a learning rate that changes, modes that change, and goals that are drawn."""
    results = []
    for cuda_graph in (False, True):
        model = on_policy_model(name, cuda_graph=cuda_graph)
        losses = []
        for number, batch in enumerate(batches(8 * WARMUP)):
            model.policy.set_training_mode(number % 3 != 0)
            model.policy.optimizer.param_groups[0]["lr"] = 1e-3 / (1 + number // 10)
            goals = th.tensor([3, number % 3], device="cuda") if number % 2 else None
            targets = batch[2] if goals is None else batch[2][:, goals]
            losses.append(model.learner.graphed_update(batch[0], batch[1], targets, goals))
        assert len(model.learner.graphed_update._graphs) == (4 if cuda_graph else 0)
        results.append([*weights(model), th.stack(losses).cpu()])
    tolerance = 5e-2 if name.endswith("bfloat16") else 1e-4
    th.testing.assert_close(results[0], results[1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ON_POLICY)
def test_rollouts_are_learned_by_graphs(name: str) -> None:
    model = on_policy_model(name).learn(32 * 12)
    assert all(bool(th.isfinite(parameter).all()) for parameter in weights(model))
    if isinstance(model, PQN):
        assert len(model._graphed_update._graphs) == 1
    if not isinstance(model, PQN) or isinstance(model, DualLEOPQN):
        learner = model.learner if isinstance(model, LEOPQN) else model.teacher
        assert len(learner.graphed_update._graphs) == 1


@pytest.mark.parametrize("name", OFF_POLICY)
def test_replay_is_learned_by_graphs(name: str) -> None:
    for cuda_graph in (False, True):
        model = off_policy_model(name, cuda_graph=cuda_graph, train_freq=1).learn(120)
        assert all(bool(th.isfinite(parameter).all()) for parameter in weights(model))
        update = model.learner.graphed_update_from if name.startswith("LEODQN") else model._graphed_update
        assert bool(update._graphs) == cuda_graph


# LEOSAC samples actions in every update, others than in a graph.
@pytest.mark.parametrize("name", [name for name in OFF_POLICY if not name.startswith("LEOSAC")])
def test_graphs_give_the_same_weights_with_replay(name: str) -> None:
    options = {"target_policy_noise": 0.0} if name.startswith("LEOTD3") else {}
    models = [off_policy_model(name, cuda_graph=flag, learning_starts=1_000, **options).learn(60) for flag in (False, True)]
    results = []
    for model in models:
        model.policy.set_training_mode(True)
        losses = []
        for number in range(3 * WARMUP):
            np.random.seed(number), th.manual_seed(number)
            batch = models[0]._sample_batch(32)
            if name.startswith("LEODQN"):
                losses.append(model.learner.graphed_update_from(batch, model._sample_goals()))
                model._update_target_network()
            else:
                flag = number % 2 == 0
                losses.append(model._graphed_update(batch, model._goals_of_update(batch), flag)["critic_loss"])
        results.append([*weights(model), th.stack(losses).cpu()])
    tolerance = 5e-2 if name.endswith("bfloat16") else 1e-3
    th.testing.assert_close(results[0], results[1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["LEOPQN", "LEOPQN, factored", "LEOPQN, bfloat16", "PQN", "DualLEOPQN"])
def test_graphs_act_by_the_newest_weights(name: str) -> None:
    model = on_policy_model(name).learn(32 * 4)
    rollout = model.rollout_buffer
    acting = [model._graphed_acting] if isinstance(model, PQN) else []
    learners = [learner for learner in (getattr(model, "learner", None), getattr(model, "teacher", None)) if learner]
    acting += [learner._graphed_acting for learner in learners]
    assert all(len(graphed._graphs) == 1 for graphed in acting)
    model.policy.set_training_mode(False)
    results = []
    for enabled in (True, False):
        for graphed in acting:
            graphed.enabled = enabled
        with th.no_grad(), model._autocast(model.amp), matmul_precision(model.device, model.tf32):
            results.append(model._acting_outputs(rollout))
    th.testing.assert_close(results[0], results[1], rtol=1e-2, atol=1e-2)


def test_a_captured_update_that_is_not_finite_is_not_applied() -> None:
    model = on_policy_model("LEOPQN")
    model.policy.set_training_mode(True)
    given = batches(WARMUP + 8)
    for batch in given[: WARMUP + 4]:
        model.learner.graphed_update(*batch, None)
    before, state = weights(model), int(model.policy.optimizer.param_groups[0]["num_steps"])
    given[-2][2][:, 3] = float("nan")
    for batch in given[-2:]:
        model.learner.graphed_update(*batch, None)
    with pytest.raises(FloatingPointError, match=f"for 1 of 5 goals: {model.goal_names[3]}; the update was not applied"):
        model.learner.finite_checks.raise_if_failed()
    assert all(th.equal(first, second) for first, second in zip(before, weights(model), strict=True))
    assert int(model.policy.optimizer.param_groups[0]["num_steps"]) == state
    model.learner.graphed_update(*given[0], None)
    assert not all(th.equal(first, second) for first, second in zip(before, weights(model), strict=True))


@pytest.mark.parametrize("name", ["LEOPQN", "LEOPQN, paper mode", "PQN", "LEODQN", "LEOSAC"])
def test_resumed_training_equals_uninterrupted(name: str, tmp_path: Path) -> None:
    make, steps = (on_policy_model, 32 * 8) if name in ON_POLICY else (off_policy_model, 80)
    model = make(name, cuda_graph=True).learn(steps)
    model.save_checkpoint(tmp_path)
    model.learn(steps, reset_num_timesteps=False)
    resumed = type(model).resume(tmp_path, device="cuda").learn(steps, reset_num_timesteps=False)
    th.testing.assert_close(weights(model), weights(resumed), rtol=1e-3, atol=1e-3)


def test_models_move_to_the_cpu(tmp_path: Path) -> None:
    model = on_policy_model("LEOPQN").learn(32 * 8)
    model.save(tmp_path / "model.zip")
    loaded = LEOPQN.load(tmp_path / "model.zip", env=DummyVecEnv([make_line] * 4), device="cpu")
    observation = np.random.rand(3, 1).astype(np.float32)
    np.testing.assert_allclose(loaded.values(observation), model.values(observation), rtol=1e-4, atol=1e-5)
    loaded.learn(64)
    assert isinstance(loaded.policy.optimizer.param_groups[0]["num_steps"], int)


def test_an_optimizer_that_loads_a_state_is_captured_again() -> None:
    model = on_policy_model("LEOPQN")
    model.policy.set_training_mode(True)
    given = batches(2 * WARMUP + 4)
    for batch in given[: WARMUP + 1]:
        model.learner.graphed_update(*batch, None)
    assert len(model.learner.graphed_update._graphs) == 1
    model.policy.optimizer.load_state_dict(model.policy.optimizer.state_dict())
    assert not model.learner.graphed_update._graphs
    for batch in given[WARMUP + 1 :]:
        model.learner.graphed_update(*batch, None)
    assert int(model.policy.optimizer.param_groups[0]["num_steps"]) == len(given)


def test_radam_equals_that_of_the_cpu() -> None:
    results = []
    for device in ("cpu", "cuda"):
        generator = th.Generator().manual_seed(0)
        parameters = [th.nn.Parameter(th.randn(shape, generator=generator).to(device)) for shape in ((4, 3), (5,))]
        optimizer = FusedRAdam(parameters, lr=0.05, eps=1e-4)
        for step in range(40):
            generator = th.Generator().manual_seed(step)
            draws = [th.randn(parameter.shape, generator=generator).to(device) for parameter in parameters]
            loss = th.stack([(p * draw).sin().sum() for p, draw in zip(parameters, draws, strict=True)]).sum()
            optimizer_step(optimizer, loss, 0.5)
        results.append([parameter.detach().cpu() for parameter in parameters])
    th.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_an_update_that_cannot_be_captured_runs_without_a_graph() -> None:
    parameter = th.nn.Parameter(th.ones(3, device="cuda"))
    optimizer = th.optim.Adam([parameter], lr=0.1, fused=True)
    module = th.nn.ParameterList([parameter])

    def update(values: th.Tensor) -> th.Tensor:
        optimizer.zero_grad()
        loss = (parameter * values).sum()
        loss.backward()
        optimizer.step()
        return loss.detach() * (2.0 if loss.item() > 0.0 else 1.0)

    graphed = GraphedFunction(update, module, [optimizer], True)
    values = th.ones(3, device="cuda")
    for _ in range(WARMUP):
        graphed(values)
    with pytest.warns(UserWarning, match="expected a function that can be captured as a CUDA graph, got"):
        graphed(values)
    before = parameter.detach().clone()
    graphed(values)
    assert not graphed.enabled and not th.equal(parameter, before)
    # The device still draws numbers, in and outside graphs.
    draws = []
    for _ in range(2):
        th.manual_seed(0)
        draws.append(th.rand(3, device="cuda"))
    assert th.equal(draws[0], draws[1])
    off_policy_model("LEOSAC", cuda_graph=True, train_freq=1).learn(40 + 2 * WARMUP)


def test_optimizers_that_cannot_be_captured() -> None:
    options: dict[str, Any] = {"net_arch": [16], "optimizer_class": th.optim.SGD}
    with pytest.raises(ValueError, match=r"fused or capturable optimizers for cuda_graph=True, got \['SGD'\]"):
        on_policy_model("LEOPQN", cuda_graph=True, policy_kwargs=options)
    model = on_policy_model("LEOPQN", policy_kwargs=options).learn(64)
    assert not model.learner.graphed_update.enabled


def test_tensor_float_32_only_inside_the_context() -> None:
    first, second = th.rand(512, 512, device="cuda"), th.rand(512, 512, device="cuda")
    exact = first.double() @ second.double()
    errors = []
    for tf32 in (False, True):
        with matmul_precision(first.device, tf32):
            errors.append(float((first @ second - exact).abs().max()))
        assert th.get_float32_matmul_precision() == "highest"
    assert errors[1] > 3.0 * errors[0]


def test_statistics_of_observations_stay_on_the_cpu() -> None:
    model = off_policy_model("LEOSAC, any goal").learn(60)
    normalizer = model.policy.normalizer
    assert normalizer.mean.device.type == "cpu" and normalizer.transform.device.type == "cuda"
