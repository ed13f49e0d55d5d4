"""Ray actors of one class, which are restarted if their processes die."""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from leo_agents.distributed.ray_cluster import check_resources, connect_to_ray
from leo_wrappers.validation import check_at_least, check_callable, check_integer, check_path, shorten

# Resources of actors that have just been stopped become free a moment later.
_FREE_SECONDS = 5.0
_POLL_SECONDS = 0.1
_CLOSE_SECONDS = 10.0
# Time without a result after which a warning is issued.
PATIENCE_SECONDS = 60.0


class ActorPool:
    """
    Starts actors. If the process of one dies, Ray starts it again and repeats the calls that it had not answered.

    :param actor_class: class of the actors
    :param arguments: arguments of the constructor for each actor
    :param num_cpus: processor cores reserved for each actor
    :param address: address of the cluster, see :func:`~leo_agents.distributed.ray_cluster.connect_to_ray`
    """

    def __init__(
        self, actor_class: type, arguments: Sequence[tuple[Any, ...]], num_cpus: float, address: str | None = None
    ) -> None:
        check_at_least("num_cpus", num_cpus, 0)
        if address is not None:
            check_path("address", address)
        self.ray = connect_to_ray(address)
        _check_free(self.ray, len(arguments), num_cpus)
        remote = self.ray.remote(num_cpus=num_cpus, max_restarts=-1, max_task_retries=-1)(actor_class)
        self.actors: list[Any] = [remote.remote(*args) for args in arguments]
        self._results: list[Any] = []

    def __len__(self) -> int:
        return len(self.actors)

    def send(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        """
        Call a method of all actors without waiting for them.

        :param method: name of the method
        :param arguments: arguments for each actor
        """
        self._results = [getattr(actor, method).remote(*args) for actor, args in zip(self.actors, arguments, strict=True)]

    def receive(self) -> list[Any]:
        """
        Wait for the results of the last :meth:`send`.

        :return: one result per actor
        """
        results, self._results = self._results, []
        return self._get(results)

    def call(self, method: str, arguments: Sequence[tuple[Any, ...]] | None = None) -> list[Any]:
        """
        Call a method of all actors.

        :param method: name of the method
        :param arguments: arguments for each actor; none if None
        :return: one result per actor
        """
        self.send(method, [()] * len(self) if arguments is None else arguments)
        return self.receive()

    def call_one(self, actor: int, method: str, arguments: tuple[Any, ...]) -> Any:
        """
        Call a method of one actor.

        :param actor: number of the actor
        :param method: name of the method
        :param arguments: arguments
        :return: the result
        """
        return self._get([getattr(self.actors[actor], method).remote(*arguments)])[0]

    def close(self) -> None:
        """Call ``close`` of the actors, and stop them."""
        actors, self.actors = self.actors, []
        if not actors or not self.ray.is_initialized():
            return
        calls = [actor.close.remote() for actor in actors]
        self.ray.wait(calls, num_returns=len(calls), timeout=_CLOSE_SECONDS)
        for actor in actors:
            self.ray.kill(actor)

    def get_now(self, result: Any) -> Any:
        """
        Return a result that has arrived.

        :param result: reference of the result
        :return: the result; an exception of the actor is raised
        """
        return self._get([result])[0]

    def warn_of_waiting(self) -> None:
        """Warn that actors have not answered for long."""
        warnings.warn(
            f"Actors have not answered for {PATIENCE_SECONDS:.0f} s; if they do not step a slow environment, see with "
            f"`ray status` whether the cluster still has nodes and free CPUs for them.",
            stacklevel=3,
        )

    def _get(self, results: list[Any]) -> list[Any]:
        while True:
            try:
                return list(self.ray.get(results, timeout=PATIENCE_SECONDS))
            except self.ray.exceptions.GetTimeoutError:
                self.warn_of_waiting()
            except self.ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from None
            except self.ray.exceptions.RayActorError as error:
                raise RuntimeError(
                    f"expected actors that Ray can start again, got: {error}; create environments by a function that every "
                    "machine can import, and see the logs of Ray for processes that end"
                ) from error


def make_factories(
    make_env: Callable[[], Any] | Sequence[Callable[[], Any]], num_actors: int | None
) -> list[Callable[[], Any]]:
    """
    Return the function that creates the environments of each actor.

    :param make_env: a function for all actors, or a list with one per actor
    :param num_actors: number of actors; None for the length of the list
    :return: one function per actor
    """
    is_list = isinstance(make_env, Sequence) and not isinstance(make_env, str)
    if num_actors is not None:
        check_integer("num_actors", num_actors, 1)
    if isinstance(make_env, Sequence) and is_list:
        if not make_env or num_actors not in (None, len(make_env)):
            raise ValueError(
                f"expected make_env with one function per actor, got {len(make_env)} for num_actors={num_actors}; leave out "
                "num_actors, or pass a single function"
            )
        factories = list(make_env)
    elif num_actors is None:
        raise ValueError(f"expected num_actors, got None and {shorten(make_env)}; pass it, or a list of functions")
    else:
        factories = [make_env] * num_actors  # type: ignore[list-item]
    for factory in factories:
        check_callable("make_env", factory)
    return factories


def _check_free(ray: Any, number: int, num_cpus: float) -> None:
    """Raise a ``ValueError`` if the free resources of a cluster do not suffice for some actors."""
    if num_cpus == 0:
        return
    options = "lower num_cpus, which may be a fraction, or num_actors (at most {fit} fit), stop other actors, or add nodes"
    deadline = time.monotonic() + _FREE_SECONDS
    while True:
        try:
            check_resources(ray.available_resources(), number, {"CPU": num_cpus}, "actors", options)
            return
        except ValueError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)
