"""Environments in the processes of Ray actors, on any machine of a cluster."""

import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from leo_agents.distributed.actor_pool import ActorPool, make_factories
from leo_agents.distributed.env_shard import EnvFactory, EnvShard, ShardReset, ShardStep
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.keys import MASK_KEY
from leo_wrappers.sb3 import ArrayStep
from leo_wrappers.sb3.array_step import LazyInfos, rows_of
from leo_wrappers.validation import shorten


class RayVecEnv(VecEnv):
    """
    N environments in several Ray actors, each of which steps some of them; needs the extra ``ray``.

    Steps are synchronous, so that the results are exactly those of the same environments in one ``DummyVecEnv``, or in one
    :class:`~leo_wrappers.sb3.GymVecEnv` per actor. A step is one message to and from each actor, with the masks of the goals
    bit-packed. This is of use if environments are slow: a message takes about a millisecond.

    If the process of an actor dies, it is started again, where the cluster has resources for it. Its environments then start
    new episodes: a warning is issued, and the step repeats the last observation and mask and reports a truncation. Attributes
    that were set are lost. If a method was being called, it is called again.

    :param make_env: creates the environments of an actor: an environment, a Gymnasium vector environment or a ``VecEnv``, such
        as ``functools.partial(make_vec_env, "leo_envs:leo/FetchReach-v0", n_envs=4)``; or a list with one such function per
        actor. Actors import the package before the colon, which registers the environment
    :param num_actors: number of actors; with a list, its length
    :param num_cpus: processor cores that Ray reserves for each actor, also a fraction
    :param address: address of the cluster; by default that in ``RAY_ADDRESS``, or else a cluster on this machine is started,
        which runs until the end of the program or ``ray.shutdown()``
    """

    def __init__(
        self,
        make_env: EnvFactory | Sequence[EnvFactory],
        num_actors: int | None = None,
        num_cpus: float = 0.5,
        address: str | None = None,
    ) -> None:
        factories = make_factories(make_env, num_actors)
        self._pool = ActorPool(EnvShard, [(factory,) for factory in factories], num_cpus, address)
        try:
            shards = self._pool.call("describe")
            _check_same_spaces(shards)
        except BaseException:
            self._pool.close()
            raise
        self._num_goals: int = shards[0][3]
        self._starts = np.cumsum([0, *(shard[0] for shard in shards)])
        self._obs: Any = None
        self._current_masks: BoolArray = np.zeros((int(self._starts[-1]), self._num_goals), dtype=bool)
        super().__init__(int(self._starts[-1]), shards[0][1], shards[0][2])

    def __getstate__(self) -> None:
        raise TypeError("expected environments of this process to pickle, got a RayVecEnv; create it again")

    def reset(self) -> VecEnvObs:
        """
        Reset all environments.

        :return: the observations
        """
        bounds = list(zip(self._starts[:-1], self._starts[1:], strict=True))
        options = [self._options[start:end] if any(self._options) else [] for start, end in bounds]
        shards: list[ShardReset] = self._pool.call(
            "reset", [(self._seeds[start], opts) for (start, _), opts in zip(bounds, options, strict=True)]
        )
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [info for shard in shards for info in shard.infos]
        self._obs = _concatenate([shard.obs for shard in shards])
        self._set_masks_of_resets(range(self.num_envs))
        return self._obs  # type: ignore[no-any-return]

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """
        Send the actions to the actors.

        :param actions: one action per environment
        """
        if np.shape(actions)[:1] != (self.num_envs,):
            raise ValueError(f"expected {self.num_envs} actions, got {shorten(actions)}; pass one per environment")
        self._pool.send("step", [(part,) for part in np.split(np.asarray(actions), self._starts[1:-1])])

    def step_wait(self) -> VecEnvStepReturn:
        """
        Wait for the results of the step.

        :return: observations, rewards, dones and infos
        """
        return self._receive_step().to_step_return()

    def step_arrays(self, actions: npt.NDArray[Any]) -> ArrayStep:
        """
        Step the environments and return arrays, see :func:`~leo_wrappers.sb3.step_arrays`.

        :param actions: one action per environment
        :return: the result of the step
        """
        self.step_async(actions)
        return self._receive_step()

    def _receive_step(self) -> ArrayStep:
        shards: list[ShardStep] = []
        for number, result in enumerate(self._pool.receive()):
            shards.append(self._lost_step(number, result) if isinstance(result, ShardReset) else result)
        step = self._joined(shards)
        self._obs = step.obs
        rows = np.flatnonzero(step.dones).tolist()
        self._current_masks = step.goals_achieved.copy() if rows else step.goals_achieved
        self._set_masks_of_resets(rows)
        return step

    def _joined(self, shards: list[ShardStep]) -> ArrayStep:
        """Concatenate the results of the actors."""
        packed = np.concatenate([shard.packed_masks for shard in shards])
        masks = np.unpackbits(packed, axis=1, count=self._num_goals).view(bool)
        dones, truncated = (np.concatenate([getattr(shard, name) for shard in shards]) for name in ("dones", "truncated"))
        finals = [shard.final_obs for shard in shards if shard.final_obs is not None]
        final_obs = _concatenate(finals) if finals else None
        extras: dict[int, dict[str, Any]] = {}
        for start, shard in zip(self._starts.tolist(), shards, strict=False):
            extras.update({start + row: extra for row, extra in shard.extra_infos.items()})
            for row, info in shard.reset_infos.items():
                self.reset_infos[start + row] = info
        ended = {row: number for number, row in enumerate(np.flatnonzero(dones).tolist())}

        def make_infos(rows: slice) -> list[dict[str, Any]]:
            infos = []
            for row in range(rows.start, rows.stop):
                info = {**extras.get(row, {}), "TimeLimit.truncated": bool(truncated[row])}
                if self._num_goals:
                    info[MASK_KEY] = masks[row]
                if row in ended:
                    info["terminal_observation"] = rows_of(final_obs, ended[row])
                infos.append(info)
            return infos

        return ArrayStep(
            obs=_concatenate([shard.obs for shard in shards]),
            rewards=np.concatenate([shard.rewards for shard in shards]),
            dones=dones,
            terminated=np.concatenate([shard.terminated for shard in shards]),
            goals_achieved=masks,
            final_obs=final_obs,
            infos=LazyInfos(self.num_envs, make_infos),
        )

    def _lost_step(self, number: int, reset: ShardReset) -> ShardStep:
        """Return the truncated step of environments whose actor has been restarted."""
        rows = np.arange(self._starts[number], self._starts[number + 1])
        warnings.warn(
            f"Actor {number} of {len(self._pool)} died and was restarted: its {len(rows)} environments start new episodes.",
            stacklevel=4,
        )
        ones = np.ones(len(rows), dtype=bool)
        return ShardStep(
            obs=reset.obs,
            rewards=np.zeros(len(rows), dtype=np.float32),
            dones=ones,
            terminated=~ones,
            truncated=ones,
            packed_masks=np.packbits(self._current_masks[rows], axis=1),
            final_obs=rows_of(self._obs, rows),
            extra_infos={},
            reset_infos=dict(enumerate(reset.infos)),
        )

    def _set_masks_of_resets(self, rows: Any) -> None:
        """Note the masks of new episodes."""
        if self._num_goals:
            for row in rows:
                self._current_masks[row] = self.reset_infos[row][MASK_KEY]

    def close(self) -> None:
        """Close the environments and stop the actors."""
        self._pool.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """
        Render all environments.

        :return: one frame per environment, None if they do not render
        """
        return [image for images in self._pool.call("get_images") for image in images]

    def has_attr(self, attr_name: str) -> bool:
        """
        Check whether the environments have an attribute.

        :param attr_name: name of the attribute
        :return: True if all have it
        """
        return all(self._pool.call("has_attr", [(attr_name,)] * len(self._pool)))

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """
        Return an attribute of each environment.

        :param attr_name: name of the attribute
        :param indices: the environments; all if None
        :return: one value per environment
        """
        return self._call_rows("get_attr", (attr_name,), indices)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """
        Set an attribute of environments.

        :param attr_name: name of the attribute
        :param value: its new value
        :param indices: the environments; all if None
        """
        if indices is None:
            self._pool.call("set_attr", [(attr_name, value, None)] * len(self._pool))
        else:
            self._call_rows("set_attr", (attr_name, value), indices)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """
        Call a method of each environment.

        :param method_name: name of the method
        :param method_args: positional arguments
        :param indices: the environments; all if None
        :param method_kwargs: keyword arguments
        :return: one result per environment
        """
        return self._call_rows("env_method", (method_name, method_args, method_kwargs), indices)

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """
        Check whether environments are wrapped with a given wrapper.

        :param wrapper_class: a wrapper of single environments
        :param indices: the environments; all if None
        :return: one value per environment
        """
        return self._call_rows("env_is_wrapped", (wrapper_class,), indices)

    def _call_rows(self, method: str, args: tuple[Any, ...], indices: VecEnvIndices) -> list[Any]:
        """Call a method of some environments' actors with arguments and rows; return one result per environment."""
        rows = np.arange(self.num_envs)[list(self._get_indices(indices))]
        actors = np.searchsorted(self._starts, rows, side="right") - 1
        results: dict[int, Any] = {}
        for actor in np.unique(actors).tolist():
            own = rows[actors == actor]
            values = self._pool.call_one(actor, method, (*args, (own - self._starts[actor]).tolist()))
            results.update(zip(own.tolist(), values or [None] * len(own), strict=True))
        return [results[row] for row in rows.tolist()]


def _concatenate(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: np.concatenate([obs[key] for obs in observations]) for key in observations[0]}
    return np.concatenate(observations)


def _check_same_spaces(shards: list[tuple[int, Any, Any, int]]) -> None:
    expected = shards[0][1:]
    for number, shard in enumerate(shards):
        if shard[1:] != expected:
            raise ValueError(
                f"expected the spaces and the number of goals of actor 0, {expected}, got {shard[1:]} from actor {number}; "
                "create the same environments in all actors"
            )
