"""
Adam for networks with a grouped linear layer, whose gradient is never written down as a whole.

For each group the gradient of :func:`~leo_agents.networks.grouped_linear.grouped_linear`'s weight is a product of two thin
matrices of a few rows. With hundreds of goals and tens of actions that weight is nearly all of the network, and writing,
measuring, clipping and reading a gradient of its size is most of an update. The thin matrices give its norm without it, and
the weight is updated a few groups at a time, while their gradient is in cache. What comes out is Adam's own result.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import torch as th
from torch.optim.adam import adam

from leo_agents.networks.grouped_linear import FactoredGradient, collect_factored_gradients

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


class GroupedRAdam(GroupedAdam):
    """
    PyTorch's RAdam in the same way: it takes gradients as factors, and gives RAdam's own result.

    Rectification multiplies Adam's step by a number that only depends on how many steps there were; before it is defined,
    the first few steps follow the momentum without dividing by the second moment. (PyTorch adds ``eps`` before correcting
    the second moment's bias in RAdam, and after it in Adam.)
    """

    @th.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """
        One update.

        :param closure: see PyTorch
        :return: what the closure returned
        """
        before = [(group["lr"], group["eps"]) for group in self.param_groups]
        numbers = [self._steps_so_far(group) + 1 for group in self.param_groups]
        for group, number in zip(self.param_groups, numbers, strict=True):
            # Without a rectified step only the moments are to move.
            group["lr"] *= _rectification(number, group["betas"][1]) or 0.0
            group["eps"] /= math.sqrt(1.0 - group["betas"][1] ** number)
        loss = super().step(closure)
        for group, number, (lr, eps) in zip(self.param_groups, numbers, before, strict=True):
            group["lr"], group["eps"] = lr, eps
            beta1, beta2 = group["betas"]
            if _rectification(number, beta2) is None:
                for parameter in group["params"]:
                    if parameter in self.state and (parameter.grad is not None or parameter in self.factored):
                        parameter.add_(self.state[parameter]["exp_avg"], alpha=-lr / (1.0 - beta1**number))
        return loss

    def _steps_so_far(self, group: dict[str, Any]) -> int:
        return max((int(self.state[parameter]["step"]) for parameter in group["params"] if self.state[parameter]), default=0)


def _rectification(step: int, beta2: float) -> float | None:
    """RAdam's factor; None while the second moment comes from too few gradients to divide by."""
    longest = 2.0 / (1.0 - beta2) - 1.0
    length = longest - 2.0 * step * beta2**step / (1.0 - beta2**step)
    if length <= 5.0:
        return None
    return math.sqrt((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length))


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
    scale = max_norm / (norm + 1e-6)
    if scale < 1.0:  # a pass over all gradients that means of many goals hardly ever need
        for tensor in [*grads, *(gradient.outputs for gradient in factored.values())]:
            tensor.mul_(scale)
    return norm


def gradient_step(
    optimizer: th.optim.Optimizer,
    parameters: Iterable[th.Tensor],
    make_loss: Callable[[], th.Tensor],
    max_grad_norm: float,
    step: int,
) -> th.Tensor:
    """
    One update, unless its gradient is not finite.

    :param optimizer: any
    :param parameters: those whose gradients are clipped together
    :param make_loss: computes the loss
    :param max_grad_norm: gradients are clipped to this norm
    :param step: number of environment steps so far, for the error
    :return: the loss
    """
    optimizer.zero_grad()
    with factored_gradients(optimizer) as factored:
        loss = make_loss()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = clip_grad_norm(parameters, factored, max_grad_norm)
    if not th.isfinite(norm):
        raise FloatingPointError(
            f"expected finite gradients, got a norm of {float(norm)} at step {step}; the update was not made: lower "
            "learning_rate or max_grad_norm, or check the observations"
        )
    optimizer.step()
    return loss.detach()
