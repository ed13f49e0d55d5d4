"""GroupedAdam against PyTorch's Adam on gradients that autograd wrote down whole."""

import copy

import pytest
import torch as th
from torch import nn

from leo_agents.learning import grouped_adam
from leo_agents.learning.grouped_adam import GroupedAdam, GroupedRAdam, clip_grad_norm, factored_gradients
from leo_agents.networks.grouped_linear import collect_factored_gradients, grouped_linear
from leo_agents.networks.heads import DenseHead, FactoredHead

FEATURES, GOALS, ACTIONS, BATCH = 6, 5, 4, 12


class Network(nn.Module):
    """A trunk and a head with weights that are not zero."""

    def __init__(self, head: str) -> None:
        super().__init__()
        self.trunk = nn.Linear(3, FEATURES)
        kinds = {"dense": DenseHead, "factored": FactoredHead}
        self.head = kinds[head](FEATURES, GOALS, ACTIONS)
        with th.no_grad():
            for parameter in self.head.parameters():
                parameter += 0.1 * th.randn_like(parameter)

    def loss(self, seed: int, goals: th.Tensor | None = None) -> th.Tensor:
        """Of a batch in which one of the actions, another each time, is missing."""
        generator = th.Generator().manual_seed(seed)
        actions = th.randint(ACTIONS - 1, (BATCH,), generator=generator)
        actions += actions >= seed % ACTIONS
        observations = th.randn(BATCH, 3, dtype=self.trunk.weight.dtype, generator=generator)
        return (self.head.taken(self.trunk(observations), actions, goals) - 1.0).square().sum()


def two_networks(head: str = "dense") -> tuple[Network, Network]:
    th.manual_seed(0)
    network = Network(head).double()
    return network, copy.deepcopy(network)


def update(network: Network, optimizer: GroupedAdam, seed: int, max_norm: float, goals: th.Tensor | None = None) -> th.Tensor:
    optimizer.zero_grad()
    with factored_gradients(optimizer) as factored:
        loss = network.loss(seed, goals)
    loss.backward()
    assert network.head.weight.grad is None and list(factored) == [network.head.weight]
    norm = clip_grad_norm(network.parameters(), factored, max_norm)
    optimizer.step()
    return norm


def reference_update(network: Network, optimizer: th.optim.Adam, seed: int, max_norm: float, goals=None) -> th.Tensor:
    optimizer.zero_grad()
    network.loss(seed, goals).backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), max_norm)
    optimizer.step()
    return norm


@pytest.mark.parametrize("head", ["dense", "factored"])
@pytest.mark.parametrize("max_norm", [0.5, 1e6])
@pytest.mark.parametrize("chunk", [1, 2 * GOALS * FEATURES, 3 * GOALS * FEATURES, 2**20])
@pytest.mark.parametrize(
    "settings", [{"fused": True}, {}, {"amsgrad": True, "weight_decay": 0.1, "betas": (0.5, 0.7)}], ids=str
)
def test_updates_are_adams(head, max_norm, chunk, settings, monkeypatch) -> None:
    monkeypatch.setattr(grouped_adam, "CHUNK_ELEMENTS", chunk)
    network, reference = two_networks(head)
    optimizer = GroupedAdam(network.parameters(), lr=0.01, **settings)
    reference_optimizer = th.optim.Adam(reference.parameters(), lr=0.01, **settings)
    for seed in range(6):
        norm = update(network, optimizer, seed, max_norm)
        th.testing.assert_close(norm, reference_update(reference, reference_optimizer, seed, max_norm))
        assert (norm > 0.5) and (norm < 1e6)
        th.testing.assert_close(dict(network.named_parameters()), dict(reference.named_parameters()))
    th.testing.assert_close(optimizer.state_dict()["state"], reference_optimizer.state_dict()["state"])


@pytest.mark.parametrize("goals", [[3, 0], [1, 1, 4]])
def test_updates_about_some_goals_are_adams(goals: list[int]) -> None:
    network, reference = two_networks()
    optimizer = GroupedAdam(network.parameters(), lr=0.01)
    reference_optimizer = th.optim.Adam(reference.parameters(), lr=0.01)
    for seed in range(3):
        norm = update(network, optimizer, seed, 0.5, th.tensor(goals))
        th.testing.assert_close(norm, reference_update(reference, reference_optimizer, seed, 0.5, th.tensor(goals)))
    th.testing.assert_close(dict(network.named_parameters()), dict(reference.named_parameters()))


def test_the_states_of_both_can_be_exchanged() -> None:
    """A training that began with PyTorch's Adam goes on with the grouped one, and back."""
    network, reference = two_networks()
    optimizer = GroupedAdam(network.parameters(), lr=0.01, fused=True)
    reference_optimizer = th.optim.Adam(reference.parameters(), lr=0.01, fused=True)
    update(network, optimizer, 0, 1.0)
    reference_update(reference, reference_optimizer, 0, 1.0)
    state = copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(reference_optimizer.state_dict())
    reference_optimizer.load_state_dict(state)
    update(network, optimizer, 1, 1.0)
    reference_update(reference, reference_optimizer, 1, 1.0)
    th.testing.assert_close(dict(network.named_parameters()), dict(reference.named_parameters()))


def test_whole_gradients_outside_of_the_context() -> None:
    """And none of the factors before are left over."""
    network, reference = two_networks()
    optimizer = GroupedAdam(network.parameters(), lr=0.01)
    update(network, optimizer, 0, 1.0)
    reference_optimizer = th.optim.Adam(reference.parameters(), lr=0.01)
    reference_update(reference, reference_optimizer, 0, 1.0)
    for seed in (1, 2):
        reference_update(network, optimizer, seed, 1.0)
        reference_update(reference, reference_optimizer, seed, 1.0)
    th.testing.assert_close(dict(network.named_parameters()), dict(reference.named_parameters()))


def test_a_broken_gradient_shows_in_the_norm() -> None:
    network, _ = two_networks()
    optimizer = GroupedAdam(network.parameters())
    with factored_gradients(optimizer) as factored:
        loss = network.loss(0) * float("inf")
    loss.backward()
    assert not th.isfinite(clip_grad_norm([], factored, 1.0))


def test_the_same_weight_twice_is_refused() -> None:
    weight, bias = th.randn(3, 5, 4, requires_grad=True), th.zeros(3, 5)
    with collect_factored_gradients():
        outputs = [grouped_linear(th.randn(2, 4), weight, bias, th.tensor([1, 1])) for _ in range(2)]
    with pytest.raises(RuntimeError, match="expected one use"):
        th.add(*outputs).sum().backward()


def test_a_weight_that_is_computed_passes_its_gradient_on() -> None:
    weight = th.randn(3, 5, 4, requires_grad=True)
    with collect_factored_gradients() as factored:
        out = grouped_linear(th.randn(2, 4), 2 * weight, th.zeros(3, 5), th.tensor([1, 1]))
    out.sum().backward()
    assert not factored and weight.grad is not None and weight.grad[1].all()


def test_bfloat16_factors_make_a_float32_gradient() -> None:
    weight, features = th.randn(3, 5, 4, requires_grad=True), th.randn(6, 4)
    groups = th.tensor([0, 2, 2, 0, 0, 2])
    with th.autocast("cpu", dtype=th.bfloat16):
        whole = grouped_linear(features, weight, th.zeros(3, 5), groups)
        with collect_factored_gradients() as factored:
            out = grouped_linear(features, weight, th.zeros(3, 5), groups)
    whole.float().square().sum().backward()
    out.float().square().sum().backward()
    gradient = factored[weight].write(slice(0, 3), th.empty(3, 5, 4))
    assert gradient.dtype == th.float32
    th.testing.assert_close(gradient, weight.grad, rtol=0.02, atol=0.02)
    th.testing.assert_close(factored[weight].norm(), gradient.norm())


def test_another_optimiser_gets_whole_gradients() -> None:
    network, _ = two_networks()
    with factored_gradients(th.optim.SGD(network.parameters(), lr=0.1)) as factored:
        loss = network.loss(0)
    loss.backward()
    assert not factored and network.head.weight.grad is not None
    expected = nn.utils.get_total_norm([parameter.grad for parameter in network.parameters()])
    th.testing.assert_close(clip_grad_norm(network.parameters(), factored, 1.0), expected)


@pytest.mark.parametrize("head", ["dense", "factored"])
@pytest.mark.parametrize("settings", [{"fused": True}, {}, {"betas": (0.5, 0.7), "weight_decay": 0.1}], ids=str)
def test_rectified_updates_are_pytorchs_radams(head, settings, monkeypatch) -> None:
    """Before and after the second moment is used: with the default betas that is from the sixth update on."""
    monkeypatch.setattr(grouped_adam, "CHUNK_ELEMENTS", 2 * GOALS * FEATURES)
    network, reference = two_networks(head)
    optimizer = GroupedRAdam(network.parameters(), lr=0.05, **settings)
    reference_settings = {key: value for key, value in settings.items() if key != "fused"}
    reference_optimizer = th.optim.RAdam(reference.parameters(), lr=0.05, **reference_settings)
    for seed in range(10):
        update(network, optimizer, seed, 0.5)
        reference_update(reference, reference_optimizer, seed, 0.5)
        th.testing.assert_close(dict(network.named_parameters()), dict(reference.named_parameters()))
        assert optimizer.param_groups[0]["lr"] == 0.05
        assert optimizer.param_groups[0]["eps"] == reference_optimizer.param_groups[0]["eps"]
        if seed == 6:  # a training that is taken up again counts on
            fresh = GroupedRAdam(network.parameters(), lr=0.05, **settings)
            fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            optimizer = fresh
