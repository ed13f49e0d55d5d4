"""Outputs and gradients of every method of a head against the full head."""

import numpy as np
import pytest
import torch as th

from leo_agents.networks import heads as heads_module
from leo_agents.networks.goal_embedding import GoalEmbedding
from leo_agents.networks.grouped_linear import grouped_linear
from leo_agents.networks.heads import DenseHead, FactoredHead, GoalHead, logit
from leo_agents.networks.quasimetric_head import QuasimetricHead

FEATURES, GOALS, ACTIONS, BATCH = 6, 5, 4, 12


def quasimetric_head() -> QuasimetricHead:
    head = QuasimetricHead(FEATURES, GOALS, ACTIONS, descriptors=np.random.rand(GOALS, 3), size=4)
    head.encoder = lambda states: states.repeat(1, FEATURES // 3)
    return head


HEADS = {
    "dense": lambda: DenseHead(FEATURES, GOALS, ACTIONS),
    "narrow": lambda: DenseHead(FEATURES, GOALS, ACTIONS, width=3),
    "factored": lambda: FactoredHead(FEATURES, GOALS, ACTIONS, rank=3),
    "described": lambda: FactoredHead(FEATURES, GOALS, ACTIONS, rank=3, descriptors=np.random.rand(GOALS, 2)),
    "quasimetric": quasimetric_head,
}


@pytest.fixture(params=HEADS)
def head(request: pytest.FixtureRequest) -> GoalHead:
    th.manual_seed(0)
    head = HEADS[request.param]().double()
    for parameter in head.parameters():  # equal initial biases would hide a wrong index
        parameter.data += 0.1 * th.randn_like(parameter)
    return head


@pytest.fixture
def features() -> th.Tensor:
    return th.randn(BATCH, FEATURES, dtype=th.float64, generator=th.Generator().manual_seed(1), requires_grad=True)


def actions_without_action_2() -> th.Tensor:
    return th.tensor([0, 3, 1, 1, 3, 0, 0, 3, 1, 3, 3, 0])


def gradients(output: th.Tensor, features: th.Tensor, head: GoalHead) -> list[th.Tensor]:
    weights = th.linspace(-1.0, 2.0, output.numel(), dtype=output.dtype).view(output.shape)
    grads = th.autograd.grad((output * weights).sum(), [features, *head.parameters()], retain_graph=True)
    return list(grads)


def assert_same_outputs_and_gradients(output: th.Tensor, expected: th.Tensor, features: th.Tensor, head: GoalHead) -> None:
    th.testing.assert_close(output, expected)
    th.testing.assert_close(gradients(output, features, head), gradients(expected, features, head))


@pytest.mark.parametrize("goals", [None, [3, 0], [1, 1, 4]])
def test_taken_equals_gathering_from_the_full_head(head: GoalHead, features: th.Tensor, goals: list[int] | None) -> None:
    actions = actions_without_action_2()
    expected = head(features)[th.arange(BATCH), :, actions]
    ids = None if goals is None else th.tensor(goals)
    output = head.taken(features, actions, ids)
    assert_same_outputs_and_gradients(output, expected if ids is None else expected[:, ids], features, head)
    th.testing.assert_close(head.taken(features, actions[:, None], ids), output)


@pytest.mark.parametrize("goals", [None, [3, 0], [1, 1, 4]])
@pytest.mark.parametrize("block_elements", [1, 2 * BATCH * GOALS, 2**20])
def test_max_over_actions_equals_the_maximum_of_the_full_head(head, features, goals, block_elements, monkeypatch) -> None:
    monkeypatch.setattr(heads_module, "BLOCK_ELEMENTS", block_elements)
    ids = None if goals is None else th.tensor(goals)
    expected, expected_actions = head(features).max(dim=2)
    if ids is not None:
        expected, expected_actions = expected[:, ids], expected_actions[:, ids]
    assert_same_outputs_and_gradients(head.max_over_actions(features, ids), expected, features, head)
    values, actions = head.best_actions(features, ids)
    assert_same_outputs_and_gradients(values, expected, features, head)
    assert th.equal(actions, expected_actions)


@pytest.mark.parametrize("block_elements", [1, 2**20])
def test_for_goals_equals_rows_of_the_full_head(head, features, block_elements, monkeypatch) -> None:
    monkeypatch.setattr(heads_module, "BLOCK_ELEMENTS", block_elements)
    goal_ids = th.arange(BATCH) * 2 % GOALS
    expected = head(features)[th.arange(BATCH), goal_ids]
    assert_same_outputs_and_gradients(head.for_goals(features, goal_ids), expected, features, head)
    th.testing.assert_close(head.for_goals(features, goal_ids[:, None]), expected)


def test_for_goals_computes_in_float32_under_autocast() -> None:
    head = DenseHead(FEATURES, GOALS, ACTIONS)
    head.weight.data += 0.1 * th.randn_like(head.weight)
    features, goal_ids = th.randn(BATCH, FEATURES).bfloat16(), th.arange(BATCH) % GOALS
    with th.autocast("cpu", th.bfloat16):
        logits = head.for_goals(features, goal_ids)
    assert logits.dtype == th.float32
    th.testing.assert_close(logits, head.for_goals(features.float(), goal_ids))


def test_full_head_has_the_documented_shape(head: GoalHead, features: th.Tensor) -> None:
    assert head(features).shape == (BATCH, GOALS, ACTIONS)


def test_taken_twice_in_one_graph_adds_the_gradients(head: GoalHead, features: th.Tensor) -> None:
    actions = actions_without_action_2()
    full = head(features)
    expected = full[th.arange(BATCH), :, actions] + full[th.arange(BATCH), :, 3 - actions].square()
    output = head.taken(features, actions) + head.taken(features, 3 - actions).square()
    assert_same_outputs_and_gradients(output, expected, features, head)


def test_taken_without_gradients(head: GoalHead, features: th.Tensor) -> None:
    with th.no_grad():
        output = head.taken(features, actions_without_action_2())
    assert not output.requires_grad
    th.testing.assert_close(output, head(features)[th.arange(BATCH), :, actions_without_action_2()])


@pytest.mark.parametrize("columns", [None, [2, 0], [1, 1]])
@pytest.mark.parametrize("frozen", [None, 0, 1, 2])
def test_grouped_linear_gradients(columns: list[int] | None, frozen: int | None) -> None:
    """Compare with finite differences, also when one of the inputs requires no gradient."""
    th.manual_seed(0)
    inputs = [th.randn(7, 4), th.randn(3, 5, 4), th.randn(3, 5)]
    inputs = [tensor.double().requires_grad_(i != frozen) for i, tensor in enumerate(inputs)]
    groups = th.tensor([2, 0, 0, 2, 2, 0, 2])
    ids = None if columns is None else th.tensor(columns)
    assert th.autograd.gradcheck(lambda *args: grouped_linear(*args, groups, ids), inputs)


def test_grouped_linear_gradients_of_absent_groups_are_zero() -> None:
    weight, bias = th.randn(3, 5, 4, requires_grad=True), th.zeros(3, 5, requires_grad=True)
    grouped_linear(th.randn(2, 4), weight, bias, th.tensor([1, 1])).sum().backward()
    assert weight.grad is not None and bias.grad is not None
    assert not weight.grad[[0, 2]].any() and not bias.grad[[0, 2]].any() and weight.grad[1].any()


def test_grouped_linear_of_an_empty_batch() -> None:
    weight = th.randn(3, 5, 4, requires_grad=True)
    out = grouped_linear(th.randn(0, 4), weight, th.zeros(3, 5), th.zeros(0, dtype=th.long))
    out.sum().backward()
    assert out.shape == (0, 5) and weight.grad is not None and not weight.grad.any()


def test_grouped_linear_rejects_bad_input() -> None:
    weight, bias = th.randn(3, 5, 4), th.zeros(3, 5)
    with pytest.raises(ValueError, match="features of shape"):
        grouped_linear(th.randn(2, 3), weight, bias, th.tensor([0, 1]))
    with pytest.raises(ValueError, match="one group per row"):
        grouped_linear(th.randn(2, 4), weight, bias, th.tensor([0, 1, 1]))
    with pytest.raises(ValueError, match=r"groups in 0\.\.2, got 3"):
        grouped_linear(th.randn(2, 4), weight, bias, th.tensor([0, 3]))


def described_head() -> FactoredHead:
    """A head with random weights, for goals of which the first and the last have the same descriptor."""
    th.manual_seed(0)
    head = FactoredHead(FEATURES, 4, ACTIONS, rank=3, descriptors=[[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    for parameter in head.parameters():
        parameter.data += 0.1 * th.randn_like(parameter)
    return head


def test_descriptors_of_the_training_have_the_values_of_its_goals() -> None:
    head, features = described_head(), th.randn(BATCH, FEATURES)
    assert head.descriptors is not None
    logits = head(features)
    th.testing.assert_close(head(features, head.descriptors)[:, 1:3], logits[:, 1:3])
    rows = head.descriptors[th.arange(BATCH) % 2 + 1]
    th.testing.assert_close(head.for_goals(features, rows), head.for_goals(features, th.arange(BATCH) % 2 + 1))
    actions = actions_without_action_2()
    th.testing.assert_close(head.taken(features, actions, head.descriptors[1:3]), head.taken(features, actions)[:, 1:3])
    # Goals with the same descriptor: between their own values.
    th.testing.assert_close(head(features, head.descriptors[:1])[:, 0], (logits[:, 0] + logits[:, 3]) / 2.0)


def test_offsets_of_other_goals_are_means_weighted_by_distance() -> None:
    descriptors = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 4.0]])
    embedding = GoalEmbedding(descriptors, outputs=1)
    embedding.offsets.data = th.tensor([[1.0], [2.0], [4.0]])
    # Distances of the scaled descriptors, whose range is [-1, 1]: 1, 1, sqrt(5).
    expected = (1.0 + 2.0 + 4.0 / 5.0**4) / (1.0 + 1.0 + 1.0 / 5.0**4)
    outputs = embedding(th.tensor([[5.0, 0.0], [10.0, 0.0]]))  # the network's outputs start at zero
    th.testing.assert_close(outputs, th.tensor([[expected], [2.0]]))


def test_descriptors_may_have_any_scale() -> None:
    """Values depend on the position within the range of the training only."""
    descriptors, scale, shift = np.random.default_rng(0).random((5, 2)), np.array([100.0, 0.01]), np.array([-3.0, 1.0])
    outputs = []
    for table in (descriptors, descriptors * scale + shift):
        th.manual_seed(0)
        head = FactoredHead(FEATURES, 5, ACTIONS, rank=3, descriptors=table)
        for parameter in head.parameters():
            parameter.data += 0.1 * th.randn_like(parameter)
        outputs.append(head(th.linspace(-1.0, 1.0, FEATURES).expand(2, -1)))
    th.testing.assert_close(*outputs, atol=1e-4, rtol=1e-4)


def test_heads_with_descriptors_of_an_earlier_version_are_rejected() -> None:
    with pytest.raises(ValueError, match="got one with descriptors of an earlier version; load it with the version"):
        described_head().load_state_dict({"goal_net.0.weight": th.zeros(2, 2)})


@pytest.mark.parametrize("make", [DenseHead, FactoredHead])
@pytest.mark.parametrize("value", [0.01, 0.9])
def test_initial_value(make: type[DenseHead] | type[FactoredHead], value: float) -> None:
    th.manual_seed(0)
    head = make(64, 50, ACTIONS, initial_value=value)
    assert head(th.randn(100, 64)).mean().item() == pytest.approx(logit(value), abs=0.05)


def test_heads_reject_bad_arguments() -> None:
    with pytest.raises(ValueError, match="num_goals of at least 1"):
        DenseHead(4, 0, 2)
    with pytest.raises(ValueError, match="rank of at least 1"):
        FactoredHead(4, 3, 2, rank=0)
    with pytest.raises(ValueError, match=r"descriptors of shape \[3, d\]"):
        FactoredHead(4, 3, 2, descriptors=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="strictly between 0 and 1"):
        DenseHead(4, 3, 2, initial_value=0.0)
