"""A Gymnasium vector environment as a Stable-Baselines3 one."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.infos import InfoList, achieved_from_infos
from leo_wrappers.keys import MASK_KEY
from leo_wrappers.sb3.array_step import ArrayStep, LazyInfos, stack_observations


class GymVecEnv(VecEnv):
    """
    Lets Stable-Baselines3 train on a natively batched Gymnasium environment, multi-goal or not.

    :param vector_env: a vector environment that resets finished environments within the same step, as Stable-Baselines3 does

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from gymnasium.vector import AutoresetMode
        >>> vector_env = gym.make_vec("leo/GridWorld-v0", num_envs=4, autoreset_mode=AutoresetMode.SAME_STEP)
        >>> venv = GymVecEnv(vector_env)
        >>> venv.reset().shape
        (4, 32)
    """

    def __init__(self, vector_env: VectorEnv[Any, Any, Any]) -> None:
        mode = vector_env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"expected a vector environment with autoreset_mode SAME_STEP, got {mode}; make it with "
                "autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP"
            )
        # Before super().__init__, which already asks for the render mode.
        self.vector_env = vector_env
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)
        self._actions: npt.NDArray[Any] | None = None

    def reset(self) -> VecEnvObs:
        """
        Resets every environment.

        :return: the observations
        """
        # Gymnasium's annotation forgets that a list of seeds is allowed.
        seeds: Any = None if all(seed is None for seed in self._seeds) else self._seeds
        obs, infos = self.vector_env.reset(seed=seeds, options=self._common_options())
        self.reset_infos = [_row(infos, row) for row in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return obs  # type: ignore[no-any-return]

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """
        :param actions: one a environment
        """
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """
        Steps every environment; infos of finished ones are those of the transition, not of the reset that followed.

        :return: observations, rewards, dones and infos
        """
        obs, rewards, terminated, truncated, infos = self.vector_env.step(self._actions)
        dones = terminated | truncated
        rows = self._info_rows(infos)
        for row, cut in enumerate((truncated & ~terminated).tolist()):
            rows[row]["TimeLimit.truncated"] = cut
        for row in np.flatnonzero(dones).tolist():
            self.reset_infos[row] = rows[row]
            rows[row] = _final_info(infos, row, rows[row].pop("TimeLimit.truncated"))
        if MASK_KEY in infos:
            masks: BoolArray = achieved_from_infos(infos, self.num_envs)
            rows = InfoList(rows, masks)
        return obs, rewards.astype(np.float32), dones, rows  # type: ignore[return-value]

    def step_arrays(self, actions: npt.NDArray[Any]) -> ArrayStep:
        """
        Steps every environment without making infos that nobody looks at.

        :param actions: one a environment
        :return: the step
        """
        obs, rewards, terminated, truncated, infos = self.vector_env.step(actions)
        dones, cut = terminated | truncated, truncated & ~terminated
        ended = np.flatnonzero(dones).tolist()
        for row in ended:
            self.reset_infos[row] = _row(infos, row)

        def info(row: int) -> dict[str, Any]:
            if dones[row]:
                return _final_info(infos, row, bool(cut[row]))
            return {**_row(infos, row), "TimeLimit.truncated": False}

        return ArrayStep(
            obs=obs,
            rewards=rewards.astype(np.float32),
            dones=dones,
            terminated=terminated,
            goals_achieved=achieved_from_infos(infos, self.num_envs),
            final_obs=stack_observations([infos["final_obs"][row] for row in ended]),
            infos=LazyInfos(self.num_envs, info),
        )

    def close(self) -> None:
        """Closes the environments."""
        self.vector_env.close()

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """
        :return: a picture of each environment
        """
        frames: Any = self.vector_env.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def has_attr(self, attr_name: str) -> bool:
        """
        :param attr_name: an attribute
        :return: whether the environments have it
        """
        try:
            self.get_attr(attr_name, 0)
        except AttributeError:
            return False
        return True

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """
        :param attr_name: an attribute of the vector environment as a whole, or of each environment in it
        :param indices: of which environments; of all when None
        :return: its values
        """
        rows = list(self._get_indices(indices))
        environments = self._environments()
        if environments is not None:
            return [environments[row].get_wrapper_attr(attr_name) for row in rows]
        return [getattr(self.vector_env, attr_name)] * len(rows)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """
        Sets an attribute of the vector environment, for all environments alike.

        :param attr_name: its name
        :param value: its value
        :param indices: None; a batched environment has no parts to tell apart
        """
        if indices is not None:
            raise ValueError("expected indices=None, got some: a batched environment has its attributes in common")
        setattr(self.vector_env.unwrapped, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """
        Calls a method of the environments inside, where there are any.

        :param method_name: its name
        :param args: positional arguments
        :param indices: in which environments; in all when None
        :param kwargs: keyword arguments
        :return: what each call returned
        """
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
        :param wrapper_class: a wrapper of single environments
        :param indices: of which environments; of all when None
        :return: False each, since a batched environment has no single ones inside
        """
        return [False for _ in self._get_indices(indices)]

    def _environments(self) -> list[gym.Env[Any, Any]] | None:
        """The environments of a SyncVectorEnv; None where the batch is one thing."""
        return getattr(self.vector_env.unwrapped, "envs", None)

    def _common_options(self) -> dict[str, Any] | None:
        if any(options != self._options[0] for options in self._options):
            raise ValueError("expected the same reset options for every environment of a batch, got different ones")
        return self._options[0] or None

    def _info_rows(self, infos: Mapping[str, Any]) -> list[dict[str, Any]]:
        if set(infos) <= {MASK_KEY, f"_{MASK_KEY}", "final_info", "_final_info", "final_obs", "_final_obs"}:
            # The common case, and the fast one.
            return [{MASK_KEY: mask} for mask in infos[MASK_KEY]] if MASK_KEY in infos else [{} for _ in range(self.num_envs)]
        return [_row(infos, row) for row in range(self.num_envs)]


def _final_info(infos: Mapping[str, Any], row: int, cut: bool) -> dict[str, Any]:
    """The info of a finished environment: that of the transition, not of the reset that followed."""
    return {
        **_row(infos["final_info"], row),
        "TimeLimit.truncated": cut,
        "terminal_observation": infos["final_obs"][row],
    }


def _row(infos: Mapping[str, Any], row: int) -> dict[str, Any]:
    """One environment's info out of a dictionary of arrays, whose ``_key`` masks tell who has the key."""
    result = {}
    for key, values in infos.items():
        if key.startswith("_") or key in ("final_info", "final_obs"):
            continue
        present = infos.get(f"_{key}")
        if present is None or present[row]:
            result[key] = _row(values, row) if isinstance(values, Mapping) else values[row]
    return result
