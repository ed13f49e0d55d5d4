"""Gymnasium vector environments as Stable-Baselines3 vectorized environments."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv, VectorWrapper
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.infos import achieved_from_infos
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, MASK_KEY, TASK_REWARDS_KEY
from leo_wrappers.sb3.array_step import ArrayStep, LazyInfos, observations_on_host, rows_of, stack_observations

_MASK_AND_FINAL_KEYS = {MASK_KEY, f"_{MASK_KEY}", "final_info", "_final_info", "final_obs", "_final_obs"}


class GymVecEnv(VecEnv):
    """
    Vectorized environment of Stable-Baselines3 around a Gymnasium vector environment, multi-goal or not.

    :param vector_env: a vector environment with autoreset mode SAME_STEP, which Stable-Baselines3 expects

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from gymnasium.vector import AutoresetMode
        >>> vector_env = gym.make_vec("leo/GridWorld-v0", num_envs=4, autoreset_mode=AutoresetMode.SAME_STEP)
        >>> venv = GymVecEnv(vector_env)
        >>> venv.reset().shape
        (4, 32)
    """

    def __init__(self, vector_env: VectorEnv[Any, Any, Any]) -> None:
        if not isinstance(vector_env, VectorEnv):
            raise TypeError(
                f"expected a Gymnasium vector environment, got {type(vector_env).__name__}; use gymnasium.make_vec"
            )
        mode = vector_env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"expected a vector environment with autoreset_mode SAME_STEP, got {mode}; make it with "
                "autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP"
            )
        # Set before super().__init__, which reads the render mode.
        self.vector_env = vector_env
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)
        self._actions: npt.NDArray[Any] | None = None

    def reset(self) -> VecEnvObs:
        """
        Reset all environments.

        :return: the observations
        """
        # Any: Gymnasium's annotation does not allow None in a list of seeds.
        seeds: Any = None if all(seed is None for seed in self._seeds) else self._seeds
        obs, infos = self.vector_env.reset(seed=seeds, options=self._common_options())
        self.reset_infos = [_row(infos, row) for row in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return obs  # type: ignore[no-any-return]

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """
        Store the actions of the next step.

        :param actions: one action per environment
        """
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """
        Step the environments. Infos of finished episodes are those of the last transition, not of the following reset.

        :return: observations, rewards, dones and infos
        """
        result = self.vector_env.step(self._actions)
        infos = result[-1]
        masks = achieved_from_infos(infos, self.num_envs) if MASK_KEY in infos else np.empty((self.num_envs, 0), dtype=bool)
        return self._array_step(*result, masks).to_step_return()

    def step_arrays(self, actions: npt.NDArray[Any]) -> ArrayStep:
        """
        Step the environments without creating all infos, see :func:`~leo_wrappers.sb3.step_arrays`.

        :param actions: one action per environment
        :return: the result of the step
        """
        result = self.vector_env.step(actions)
        return self._array_step(*result, achieved_from_infos(result[-1], self.num_envs))

    def step_tensors(self, actions: th.Tensor) -> ArrayStep:
        """
        Step the environments, leaving observations on the device, see :func:`~leo_wrappers.sb3.step_tensors`.

        :param actions: one valid action per environment
        :return: the result of the step
        """
        # Looked up in the class: a VectorWrapper forwards missing attributes, and its own part of the step would be skipped.
        native = getattr(type(self.vector_env), "step_tensors", None)
        if native is None:
            return self.step_arrays(actions.cpu().numpy())
        obs, final_obs, rewards, terminated, truncated, masks, reset_masks = native(self.vector_env, actions)
        dones = terminated | truncated
        numbers = {row: number for number, row in enumerate(np.flatnonzero(dones).tolist())}
        for row, number in numbers.items():
            self.reset_infos[row] = {MASK_KEY: reset_masks[number]}

        def make_infos(rows: slice) -> list[dict[str, Any]]:
            infos = [
                {MASK_KEY: mask, "TimeLimit.truncated": bool(flag)}
                for mask, flag in zip(masks[rows], (truncated & ~terminated)[rows], strict=True)
            ]
            for row in filter(range(rows.start, rows.stop).__contains__, numbers):
                final = observations_on_host(rows_of(final_obs, numbers[row]))
                infos[row - rows.start]["terminal_observation"] = final
            return infos

        return ArrayStep(
            obs=obs,
            rewards=rewards.astype(np.float32),
            dones=dones,
            terminated=terminated,
            goals_achieved=masks,
            final_obs=final_obs,
            infos=LazyInfos(self.num_envs, make_infos),
            is_success=np.zeros_like(dones),
        )

    def _array_step(
        self, obs: Any, rewards: Any, terminated: BoolArray, truncated: BoolArray, infos: dict[str, Any], masks: BoolArray
    ) -> ArrayStep:
        dones, time_limit = terminated | truncated, truncated & ~terminated
        final_obs = {row: infos["final_obs"][row] for row in np.flatnonzero(dones).tolist()}
        for row in final_obs:
            self.reset_infos[row] = _row(infos, row)
        # Done only for what was commanded: the other goals bootstrap, as after a truncation.
        ended_by_goal = infos.get("final_info", {}).get(ENDED_BY_GOAL_KEY, np.zeros_like(dones))

        def make_infos(rows: slice) -> list[dict[str, Any]]:
            numbers = range(rows.start, rows.stop)
            # Most environments report nothing but masks, and have no other entries to look for in each row.
            if MASK_KEY in infos and infos.keys() <= _MASK_AND_FINAL_KEYS:
                result = [{MASK_KEY: mask, "TimeLimit.truncated": False} for mask in infos[MASK_KEY][rows]]
            else:
                result = [{**_row(infos, row), "TimeLimit.truncated": False} for row in numbers]
            for row in filter(numbers.__contains__, final_obs):
                final = {"TimeLimit.truncated": bool(time_limit[row]), "terminal_observation": final_obs[row]}
                result[row - rows.start] = {**_row(infos["final_info"], row), **final}
            return result

        return ArrayStep(
            obs=obs,
            rewards=rewards.astype(np.float32),
            dones=dones,
            terminated=terminated & ~ended_by_goal,
            goals_achieved=masks,
            final_obs=stack_observations(list(final_obs.values())),
            infos=LazyInfos(self.num_envs, make_infos),
            task_rewards=infos.get(TASK_REWARDS_KEY),
        )

    def close(self) -> None:
        """Close the environments."""
        self.vector_env.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """
        Render all environments.

        :return: one frame per environment, None if they do not render
        """
        frames: Any = self.vector_env.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def has_attr(self, attr_name: str) -> bool:
        """
        Check whether the environments have an attribute.

        :param attr_name: name of the attribute
        :return: True if they have it
        """
        if isinstance(self.vector_env.unwrapped, AsyncVectorEnv):
            # The worker processes end if an attribute is missing.
            is_in_wrapper = any(attr_name in vars(wrapper) for wrapper in self._wrappers())
            return is_in_wrapper or all(self.vector_env.unwrapped.call("has_wrapper_attr", attr_name))
        try:
            self.get_attr(attr_name)
        except AttributeError:
            return False
        return True

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """
        Return an attribute of each environment, or of the vector environment if it is natively batched.

        :param attr_name: name of the attribute
        :param indices: the environments; all if None
        :return: one value per environment
        """
        rows = list(self._get_indices(indices))
        for wrapper in self._wrappers():
            if attr_name in vars(wrapper):
                return [getattr(wrapper, attr_name)] * len(rows)
        if isinstance(self.vector_env.unwrapped, AsyncVectorEnv):
            values = self.vector_env.unwrapped.get_attr(attr_name)
            return [values[row] for row in rows]
        environments = self._environments()
        if environments is not None:
            return [environments[row].get_wrapper_attr(attr_name) for row in rows]
        return [getattr(self.vector_env, attr_name)] * len(rows)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """
        Set an attribute of the vector environment, which all environments share.

        :param attr_name: name of the attribute
        :param value: its new value
        :param indices: must be None
        """
        if indices is not None:
            raise ValueError("expected indices=None, got some; attributes can only be set for all environments together")
        setattr(self.vector_env.unwrapped, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """
        Call a method of each environment; not available for natively batched environments.

        :param method_name: name of the method
        :param args: positional arguments
        :param indices: the environments; all if None
        :param kwargs: keyword arguments
        :return: one result per environment
        """
        vector_env = self.vector_env.unwrapped
        if isinstance(vector_env, AsyncVectorEnv):
            pipes = [vector_env.parent_pipes[row] for row in self._get_indices(indices)]
            for pipe in pipes:
                pipe.send(("_call", (method_name, args, kwargs)))
            results, successes = zip(*[pipe.recv() for pipe in pipes], strict=True)
            vector_env._raise_if_errors([*successes, *[True] * (self.num_envs - len(pipes))])
            return list(results)
        environments = self._environments()
        if environments is None:
            raise AttributeError(
                f"expected separate environments to call {method_name!r} on, got a batched "
                f"{type(self.vector_env.unwrapped).__name__}; call the method of the vector environment itself"
            )
        methods = [environments[row].get_wrapper_attr(method_name) for row in self._get_indices(indices)]
        return [method(*args, **kwargs) for method in methods]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """
        Check whether environments are wrapped with a given wrapper, which this class does not support.

        :param wrapper_class: a wrapper of single environments
        :param indices: the environments; all if None
        :return: False for each environment
        """
        return [False for _ in self._get_indices(indices)]

    def _wrappers(self) -> Iterator[VectorWrapper]:
        """Iterate over the wrappers of the vector environment, whose own attributes precede those of the environments."""
        env = self.vector_env
        while isinstance(env, VectorWrapper):
            yield env
            env = env.env

    def _environments(self) -> list[gym.Env[Any, Any]] | None:
        """Return the environments of a SyncVectorEnv; None for natively batched ones."""
        return getattr(self.vector_env.unwrapped, "envs", None)

    def _common_options(self) -> dict[str, Any] | None:
        if any(options != self._options[0] for options in self._options):
            raise ValueError("expected the same reset options for all environments, got different ones; pass one dictionary")
        return self._options[0] or None


def _row(infos: Mapping[str, Any], row: int) -> dict[str, Any]:
    """Return the info of one environment from a dictionary of arrays; ``_key`` marks the environments with ``key``."""
    result = {}
    for key, values in infos.items():
        if key.startswith("_") or key in ("final_info", "final_obs"):
            continue
        present = infos.get(f"_{key}")
        if present is None or present[row]:
            result[key] = _row(values, row) if isinstance(values, Mapping) else values[row]
    return result
