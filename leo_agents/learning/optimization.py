"""One optimizer step with clipped gradients, a fused RAdam, and the Polyak update of target networks."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch as th
from torch.optim.adam import adam

from leo_agents.learning.finite_checks import FiniteChecks, gradient_error
from leo_agents.networks.device import is_asynchronous
from leo_agents.networks.grouped_linear import clear_gradient

# As in PyTorch's clipping of gradients: added to the norm, by which the gradients are divided.
_NORM_EPS = 1e-6
# The factors of RAdam's learning rate are tabulated for so many times 1 / (1 - beta2) steps, and at most for so many.
_TIME_CONSTANTS, _MAX_TABLE = 50.0, 2**20


def optimizer_step(
    optimizer: th.optim.Optimizer, loss: th.Tensor, max_grad_norm: float = math.inf, checks: FiniteChecks | None = None
) -> None:
    """
    Minimize a loss by one step; the step is not applied if the gradient is not finite.

    :param optimizer: the optimizer; gradients of all its parameters are clipped together
    :param loss: a scalar
    :param max_grad_norm: maximum norm of the gradient
    :param checks: raises the error of a gradient that is not finite, with CUDA and a fused optimizer when its
        ``raise_if_failed`` is called; raised at once if None
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in parameters:
        clear_gradient(parameter)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    norm = th.nn.utils.get_total_norm([parameter.grad for parameter in parameters])
    if is_asynchronous(norm.device) and is_fused(optimizer):
        used_checks = checks or FiniteChecks()
        _masked_step(optimizer, norm, max_grad_norm, used_checks)
        if checks is None:
            used_checks.raise_if_failed()
        return
    if checks is not None:
        checks.raise_if_failed()
    if not th.isfinite(norm):
        raise gradient_error(norm.item())
    if norm > max_grad_norm:  # with the mean over many goals this is rare, and it is a pass over all gradients
        th.nn.utils.clip_grads_with_norm_(parameters, max_grad_norm, norm)
    optimizer.step()


def is_fused(optimizer: th.optim.Optimizer) -> bool:
    """
    Return whether the step of an optimizer is one operation on the device, which divides the gradients by a scale and is
    skipped if a flag is set, both of them tensors.

    :param optimizer: the optimizer
    """
    return getattr(optimizer, "_step_supports_amp_scaling", False)


def _masked_step(optimizer: Any, norm: th.Tensor, max_grad_norm: float, checks: FiniteChecks) -> None:
    """Perform a step with clipped gradients, or none if a flag on the device says so, without reading it."""
    # The two attributes by which PyTorch's GradScaler hands the same things to fused optimizers.
    optimizer.grad_scale = ((norm + _NORM_EPS) / max_grad_norm).clamp(min=1.0)
    optimizer.found_inf = checks.record_gradient(norm)
    try:
        optimizer.step()
    finally:
        del optimizer.grad_scale, optimizer.found_inf


def polyak_update(parameters: Iterable[th.Tensor], target_parameters: Iterable[th.Tensor], tau: float) -> None:
    """
    Move target parameters towards others, ``(1 - tau) * target + tau * parameter``, in a few operations on all of them.

    :param parameters: the parameters
    :param target_parameters: changed in place
    :param tau: 1 to copy the parameters
    """
    targets = list(target_parameters)
    if not targets:  # as the running statistics of most networks
        return
    with th.no_grad():
        th._foreach_mul_(targets, 1 - tau)
        th._foreach_add_(targets, list(parameters), alpha=tau)


class FusedRAdam(th.optim.Optimizer):
    """
    RAdam (https://arxiv.org/abs/1908.03265) by PyTorch's fused Adam kernel.

    Rectification scales Adam's step by a factor that depends on the number of steps only. PyTorch's own RAdam has no fused
    kernel and takes 1.6 to 2.5 times as long per update with a head of 22 million weights. (Its ``eps`` is added before the
    bias correction of the second moment, Adam's after it.)

    With CUDA, the number of steps and all that depends on it is kept on the device, so that a CUDA graph can contain the step.

    :param params: parameters, or parameter groups
    :param lr: learning rate
    :param betas: decay rates of both moments
    :param eps: added to the denominator
    :param weight_decay: L2 penalty
    """

    # A step divides the gradients by ``grad_scale`` and is skipped if ``found_inf`` is 1, if it has these attributes.
    _step_supports_amp_scaling = True

    def __init__(
        self,
        params: Iterable[th.Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "num_steps": 0})
        self._counters: dict[int, _StepCounter] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._counters = {}  # the numbers of steps may have changed

    @th.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """
        Perform one optimization step.

        :param closure: reevaluates the model and returns the loss
        :return: the loss, if there is a closure
        """
        loss = None
        if closure is not None:
            with th.enable_grad():
                loss = closure()
        for index, group in enumerate(self.param_groups):
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters and is_asynchronous(parameters[0].device):
                self._step_on_device(index, group, parameters)
            else:
                self._step_group(group, parameters)
        return loss

    def _step_group(self, group: dict[str, Any], parameters: list[th.Tensor]) -> None:
        group["num_steps"] = int(group["num_steps"]) + 1  # a tensor if the state was saved with CUDA
        (beta1, beta2), num_steps = group["betas"], group["num_steps"]
        factor = rectification(num_steps, beta2)
        states = [self._state_of(parameter) for parameter in parameters]
        adam(
            parameters,
            [parameter.grad for parameter in parameters],  # type: ignore[misc]
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            # Until the factor is defined Adam only updates the moments; the parameters follow the momentum below.
            lr=group["lr"] * (factor or 0.0),
            weight_decay=group["weight_decay"],
            eps=group["eps"] / math.sqrt(1.0 - beta2**num_steps),
            maximize=False,
        )
        if factor is None:
            for parameter, state in zip(parameters, states, strict=True):
                parameter.add_(state["exp_avg"], alpha=-group["lr"] / (1.0 - beta1**num_steps))

    def _step_on_device(self, index: int, group: dict[str, Any], parameters: list[th.Tensor]) -> None:
        counter = self._counters.get(index)
        if counter is None:
            counter = self._counters[index] = _StepCounter(group, parameters[0].device)
        scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        applied = th.ones((), device=counter.device) if found_inf is None else 1.0 - found_inf
        adam_factor, momentum_factor = counter.next_factors(applied)
        states = [self._state_of(parameter) for parameter in parameters]
        beta1, beta2 = group["betas"]
        adam(
            parameters,
            [parameter.grad for parameter in parameters],  # type: ignore[misc]
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            # After infinitely many steps, Adam has no bias correction: it is part of the factor.
            [counter.infinity] * len(parameters),
            fused=True,
            grad_scale=scale,
            found_inf=found_inf,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=adam_factor * group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        th._foreach_add_([state["step"] for state in states], [applied] * len(states))
        if counter.follows_momentum:
            momentum_step = momentum_factor * group["lr"] * applied
            for parameter, state in zip(parameters, states, strict=True):
                parameter.sub_(state["exp_avg"] * momentum_step)

    def _state_of(self, parameter: th.Tensor) -> dict[str, th.Tensor]:
        state: dict[str, th.Tensor] = self.state[parameter]
        if not state:
            state["step"] = th.zeros((), device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = th.zeros_like(parameter), th.zeros_like(parameter)
        return state


def rectification(num_steps: int, beta2: float) -> float | None:
    """
    Return RAdam's factor of the step size.

    :param num_steps: number of steps, this one included
    :param beta2: decay rate of the second moment
    :return: the factor; None while the variance of the adaptive learning rate is not tractable (the first steps)
    """
    rho_inf = 2.0 / (1.0 - beta2) - 1.0
    rho = rho_inf - 2.0 * num_steps * beta2**num_steps / (1.0 - beta2**num_steps)
    if rho <= 5.0:
        return None
    return math.sqrt((rho - 4.0) * (rho - 2.0) * rho_inf / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho))


class _StepCounter:
    """
    Number of steps of a parameter group on the device, and the factors of the learning rate that depend on it.

    :param group: the group; its ``"num_steps"`` becomes the tensor that is counted up
    :param device: device of the parameters
    """

    def __init__(self, group: dict[str, Any], device: th.device) -> None:
        self.device = device
        num_steps = int(group["num_steps"])
        self.num_steps = group["num_steps"] = th.tensor(num_steps, device=device)
        self.infinity = th.full((), math.inf, device=device)
        table = _learning_rate_factors(group["betas"])
        self._last = len(table) - 1
        self._table = th.tensor(table, device=device)
        # How many of the next steps may follow the momentum, as far as the host knows: it does not see skipped ones.
        is_ever_rectified = table[-1][0] > 0.0
        left = sum(momentum_factor > 0.0 for _, momentum_factor in table[num_steps + 1 :])
        self._momentum_steps = float(left) if is_ever_rectified else math.inf

    @property
    def follows_momentum(self) -> bool:
        """Whether the step just counted may be one that is not rectified."""
        return self._momentum_steps >= 0

    def next_factors(self, applied: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """
        Count a step.

        :param applied: 1 if the step is applied, else 0
        :return: factors of Adam's step without bias correction, and of the step along the momentum; one of them is 0
        """
        self._momentum_steps -= 1
        self.num_steps.add_(applied.long())
        factors = self._table.index_select(0, self.num_steps.clamp(max=self._last).view(1)).view(2)
        return factors[0], factors[1]


def _learning_rate_factors(betas: tuple[float, float]) -> list[tuple[float, float]]:
    """Return the factors of Adam's step and of the momentum by number of steps, up to where they hardly change."""
    beta1, beta2 = betas
    factors = [(0.0, 0.0)]
    for num_steps in range(1, min(math.ceil(_TIME_CONSTANTS / (1.0 - beta2)), _MAX_TABLE) + 1):
        factor = rectification(num_steps, beta2)
        correction = 1.0 - beta1**num_steps
        if factor is None:
            factors.append((0.0, 1.0 / correction))
        else:
            factors.append((factor * math.sqrt(1.0 - beta2**num_steps) / correction, 0.0))
    return factors
