"""
Adam for networks with a grouped linear layer, whose gradient is never written down as a whole.

For each group the gradient of :func:`~leo_agents.common.grouped_linear.grouped_linear`'s weight is a product of two thin
matrices of a few rows. With hundreds of goals and tens of actions that weight is nearly all of the network, and writing,
measuring, clipping and reading a gradient of its size is most of an update. The thin matrices give its norm without it, and
the weight is updated a few groups at a time, while their gradient is in cache. What comes out is Adam's own result.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch as th
from torch.optim.adam import adam

from leo_agents.common.grouped_linear import FactoredGradient, collect_factored_gradients

# How many numbers of a gradient are written down at a time (2 MB): these and Adam's moments of them fit a processor's cache.
CHUNK_ELEMENTS = 2**19

Factored = Mapping[th.Tensor, FactoredGradient]
NONE: Factored = MappingProxyType({})


class GroupedAdam(th.optim.Adam):
    """
    PyTorch's Adam, with the same arguments, state and results, that takes gradients as factors too. An update goes::

        optimizer.zero_grad()
        with factored_gradients(optimizer) as factored:
            loss = ...
        loss.backward()
        clip_grad_norm(parameters, factored, max_norm)
        optimizer.step()
    """

    factored: Factored = NONE

    def zero_grad(self, set_to_none: bool = True) -> None:
        """
        Forgets all gradients.

        :param set_to_none: rather than filling them with zeros
        """
        self.factored = NONE
        super().zero_grad(set_to_none)

    @th.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """
        One update.

        :param closure: see PyTorch
        :return: what the closure returned
        """
        loss = super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter in self.factored:
                    self._step_by_chunks(parameter, self.factored[parameter], group)
        return loss

    def _step_by_chunks(self, weight: th.Tensor, gradient: FactoredGradient, group: dict[str, Any]) -> None:
        """Adam's update of a few groups after another, with their part of the gradient in a buffer that all of them share."""
        state = self._state_of(weight, group)
        moments = [state["exp_avg"], state["exp_avg_sq"], *([state["max_exp_avg_sq"]] if group["amsgrad"] else [])]
        # Elsewhere a call costs more than a pass over memory.
        size = max(1, CHUNK_ELEMENTS // weight[0].numel()) if weight.device.type == "cpu" else len(weight)
        buffer = weight.new_empty(min(size, len(weight)), *weight.shape[1:])
        for start in range(0, len(weight), size):
            chunk = slice(start, min(start + size, len(weight)))
            # Each call counts a step of its own.
            columns = [[weight[chunk]], [gradient.write(chunk, buffer)], *([moment[chunk]] for moment in moments)]
            _adam(columns, state["step"].clone(), group)
        state["step"] += 1

    def _state_of(self, weight: th.Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state as Adam itself would have begun it."""
        state: dict[str, Any] = self.state[weight]
        if not state:
            state["step"] = th.zeros((), device=weight.device if group["fused"] or group["capturable"] else "cpu")
            for name in ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])):
                state[name] = th.zeros_like(weight)
        return state


@contextmanager
def factored_gradients(optimizer: th.optim.Optimizer) -> Iterator[Factored]:
    """
    The grouped weights that are used inside get no ``grad`` from the next backward pass, if the optimiser needs none.

    :param optimizer: any; only a :class:`GroupedAdam` needs none
    :return: their gradients as factors instead, filled in by that pass
    """
    if not isinstance(optimizer, GroupedAdam):
        yield NONE
        return
    with collect_factored_gradients() as factored:
        optimizer.factored = factored
        yield factored


def _adam(columns: list[list[th.Tensor]], step: th.Tensor, group: dict[str, Any]) -> None:
    """PyTorch's functional Adam with the settings of a parameter group."""
    names = ("amsgrad", "weight_decay", "eps", "maximize", "foreach", "capturable", "differentiable", "fused", "lr")
    settings = {name: group[name] for name in names}
    beta1, beta2 = group["betas"]
    weight, gradient, first, second, *largest = columns
    adam(weight, gradient, first, second, largest[0] if largest else [], [step], beta1=beta1, beta2=beta2, **settings)


def clip_grad_norm(parameters: Iterable[th.Tensor], factored: Factored, max_norm: float) -> th.Tensor:
    """
    As ``torch.nn.utils.clip_grad_norm_``, over whole gradients and factored ones together.

    :param parameters: those with a ``grad`` count
    :param factored: the gradients that were kept as factors
    :param max_norm: the largest norm that stays as it is
    :return: the norm of all gradients before
    """
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = [*map(th.linalg.vector_norm, grads), *(gradient.norm() for gradient in factored.values())]
    norm = th.linalg.vector_norm(th.stack(norms))
    scale = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for tensor in [*grads, *(gradient.outputs for gradient in factored.values())]:
        tensor.mul_(scale)
    return norm
