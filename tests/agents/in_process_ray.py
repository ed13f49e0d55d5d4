"""What `leo_agents.distributed` uses of Ray, with actors in this process: calls run when their results are read, in order."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any


class Reference:
    """A result that is computed when it is first read."""

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.compute, self.values = compute, []

    def get(self) -> Any:
        if not self.values:
            self.values.append(self.compute())
        return self.values[0]


class Actor:
    """An object of this process with the interface of an actor."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, method: str) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda *args: Reference(lambda: self._call(method, args)))

    def _call(self, method: str, args: tuple[Any, ...]) -> Any:
        return getattr(self.inner, method)(*(arg.get() if isinstance(arg, Reference) else arg for arg in args))


class InProcessRay(ModuleType):
    """Module to use in place of ``ray``."""

    def __init__(self) -> None:
        super().__init__("ray")
        errors = {name: type(name, (Exception,), {}) for name in ("GetTimeoutError", "RayTaskError", "RayActorError")}
        self.exceptions = SimpleNamespace(**errors)

    def is_initialized(self) -> bool:
        return True

    def available_resources(self) -> dict[str, float]:
        return {"CPU": 100.0}

    def remote(self, **options: Any) -> Callable[[type], Any]:
        return lambda actor_class: SimpleNamespace(remote=lambda *args: Actor(actor_class(*args)))

    def put(self, value: Any) -> Reference:
        return Reference(lambda: value)

    def get(self, result: Any, timeout: float | None = None) -> Any:
        return [one.get() for one in result] if isinstance(result, list) else result.get()

    def wait(
        self, results: list[Reference], num_returns: int = 1, timeout: float | None = None
    ) -> tuple[list[Reference], list[Reference]]:
        for result in results[:num_returns]:
            result.get()
        return results[:num_returns], results[num_returns:]

    def kill(self, actor: Actor) -> None:
        pass

    def get_runtime_context(self) -> SimpleNamespace:
        return SimpleNamespace(was_current_actor_reconstructed=False)
