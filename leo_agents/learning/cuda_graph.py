"""Functions as CUDA graphs: the kernels of an update are launched at once, not one by one by Python."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

import torch as th
from torch import nn

from leo_agents.learning.optimization import FusedRAdam
from leo_wrappers.validation import check_bool

R = TypeVar("R")

# Calls with arguments of the same shapes before a function is captured: the first ones allocate memory and choose algorithms,
# and the first five steps of RAdam are of another kind.
WARMUP = 11


class GraphedFunction(Generic[R]):
    """
    Calls a function, such as an update, with CUDA as a graph.

    The first calls run the function as it is. Then it is captured, once for all arguments of the same shapes, and replayed. If
    capturing fails, a warning gives the reason and all calls run as they are. Graphs are not saved with models; after an
    optimizer has loaded a state, whose tensors are new, functions are captured again.

    :param function: function of tensors, dictionaries or tuples of them, flags or None, which returns tensors or the like. All
        else that it reads or changes must be on the device and stay where it is
    :param module: the networks that it uses. It is captured for training and evaluation mode, and for each precision of matrix
        products, separately
    :param optimizers: whose steps it performs
    :param enabled: whether to use graphs; None to use them if the optimizers can be captured. Only with CUDA
    """

    def __init__(
        self,
        function: Callable[..., R],
        module: nn.Module,
        optimizers: Sequence[th.optim.Optimizer],
        enabled: bool | None = None,
    ) -> None:
        self.function = function
        self.module = module
        self.optimizers = list(optimizers)
        device = next(module.parameters()).device
        self.enabled = device.type == "cuda" and enabled is not False
        unsupported = [type(optimizer).__name__ for optimizer in optimizers if not _can_be_captured(optimizer)]
        if self.enabled and unsupported:
            if enabled:
                raise ValueError(
                    f"expected fused or capturable optimizers for cuda_graph=True, got {unsupported}; pass "
                    'optimizer_kwargs={"fused": True}, or cuda_graph=False'
                )
            self.enabled = False
        self._num_calls: dict[Any, int] = {}
        self._graphs: dict[Any, _Graph] = {}
        if self.enabled:
            self._stream = th.cuda.Stream(device)  # type: ignore[no-untyped-call]
            for optimizer in self.optimizers:
                optimizer.register_load_state_dict_post_hook(self._forget)

    def __call__(self, *args: Any) -> R:
        """
        Call the function.

        :param args: arguments of the function
        :return: what it returns
        """
        if not self.enabled:
            return self.function(*args)
        key = (self.module.training, th.get_float32_matmul_precision(), _layout(args))
        graph = self._graphs.get(key)
        if graph is None:
            self._num_calls[key] = self._num_calls.get(key, 0) + 1
            if self._num_calls[key] <= WARMUP:
                return self._warm_up(args)
            # A failed capture leaves PyTorch's generator in a state in which it does not draw numbers any more.
            generator = th.cuda.default_generators[self._stream.device.index]
            generator_state = generator.clone_state()
            try:
                graph = self._graphs[key] = _Graph(self.function, args, self.optimizers, self._stream)
            except RuntimeError as error:
                generator.graphsafe_set_state(generator_state)
                return self._give_up(error, args)
        return graph.replay(args)  # type: ignore[no-any-return]

    def _warm_up(self, args: Any) -> R:
        """Call the function on the stream on which it will be captured."""
        current = th.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with th.cuda.stream(self._stream):
            result = self.function(*args)
        current.wait_stream(self._stream)
        return result

    def _give_up(self, error: RuntimeError, args: Any) -> R:
        warnings.warn(
            f"expected a function that can be captured as a CUDA graph, got {error}: calling it without a graph, which is "
            "slower; pass cuda_graph=False to hide this warning",
            stacklevel=3,
        )
        self.enabled = False
        self._graphs.clear()
        return self.function(*args)

    def _forget(self, optimizer: th.optim.Optimizer) -> None:
        self._graphs.clear()
        self._num_calls.clear()


def check_cuda_graph(cuda_graph: bool | None) -> None:
    """
    Raise a ``TypeError`` unless an argument is True, False or None.

    :param cuda_graph: the argument
    """
    if cuda_graph is not None:
        check_bool("cuda_graph other than None", cuda_graph)


class _Graph:
    """A captured function, with memory of its own for the arguments and the learning rates."""

    def __init__(
        self, function: Callable[..., Any], args: Any, optimizers: list[th.optim.Optimizer], stream: th.cuda.Stream
    ) -> None:
        self._inputs = _map(args, th.Tensor.clone)
        self._static = _tensors(self._inputs)
        self._groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self._rates = [float(group["lr"]) for group in self._groups]
        self._rate_tensors = [th.full((), rate, device=stream.device) for rate in self._rates]
        self._graph = th.cuda.CUDAGraph()
        with ExitStack() as stack:
            for group, rate in zip(self._groups, self._rate_tensors, strict=True):
                stack.enter_context(_captured_group(group, rate))
            # Only this thread must not do what cannot be captured: JAX and data loaders go on in others.
            stack.enter_context(th.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"))
            # Inside a surrounding autocast context, weights that were cast before would not be cast again by the graph.
            th.clear_autocast_cache()
            self._outputs = function(*self._inputs)
            th.clear_autocast_cache()

    def replay(self, args: Any) -> Any:
        """Call the function with other arguments of the same shapes."""
        th._foreach_copy_(self._static, _tensors(args))
        for index, group in enumerate(self._groups):
            if group["lr"] != self._rates[index]:
                self._rates[index] = group["lr"]
                self._rate_tensors[index].fill_(group["lr"])
        self._graph.replay()
        return _map(self._outputs, th.Tensor.clone)


@contextmanager
def _captured_group(group: dict[str, Any], learning_rate: th.Tensor) -> Iterator[None]:
    """Context in which an optimizer reads the learning rate of a parameter group from the device."""
    before: dict[str, Any] = {name: group[name] for name in ("lr", "capturable") if name in group}
    captured = {"lr": learning_rate, "capturable": True}
    group.update({name: value for name, value in captured.items() if name in before})
    try:
        yield
    finally:
        group.update(before)


def _can_be_captured(optimizer: th.optim.Optimizer) -> bool:
    if isinstance(optimizer, FusedRAdam):
        return True
    return all(group.get("capturable") or (group.get("fused") and "capturable" in group) for group in optimizer.param_groups)


def _map(value: Any, function: Callable[[th.Tensor], Any]) -> Any:
    """Apply a function to all tensors in nested dictionaries and tuples."""
    if isinstance(value, dict):
        return {key: _map(part, function) for key, part in value.items()}
    if isinstance(value, tuple):
        parts = [_map(part, function) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return function(value) if isinstance(value, th.Tensor) else value


def _tensors(value: Any) -> list[th.Tensor]:
    """Return all tensors in nested dictionaries and tuples, in the same order for the same structure."""
    found: list[th.Tensor] = []
    _map(value, found.append)
    return found


def _layout(value: Any) -> tuple[Any, ...]:
    """Return what all arguments that a captured function can be replayed with have in common."""
    if isinstance(value, dict):
        return tuple((key, _layout(part)) for key, part in value.items())
    if isinstance(value, tuple):
        return tuple(_layout(part) for part in value)
    return (tuple(value.shape), value.dtype) if isinstance(value, th.Tensor) else (value,)
