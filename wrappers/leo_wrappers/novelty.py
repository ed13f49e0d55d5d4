"""Count-based exploration as a goal of its own: the wrapper that adds the goal "novelty"."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_wrappers.goal_set import BoolArray, check_goal_names
from leo_wrappers.infos import read_mask
from leo_wrappers.keys import COUNTS_KEY, MASK_KEY
from leo_wrappers.multi_goal import goal_env_method
from leo_wrappers.validation import check_bool, check_env

NOVELTY = "novelty"
"""Name of the goal that is achieved by achieving seldom achieved goals."""
# What describes the wrapped environment's goals only.
_HIDDEN = ("goal_set", "goal_points", "goal_signal")


class NoveltyWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Wrapper that adds the goal "novelty", achieved by steps that achieve seldom achieved goals, and the counts it depends on.

    A step that achieves goals which the state before did not achieve gets the bonus 1 / sqrt(n), where n is how often the most
    seldom of these was newly achieved so far. It achieves "novelty" with this probability. The head of that goal thus learns
    when a bonus is near, and the other goals stay as they are. To look for novelty, command it at times, for example with
    ``goal_selector={"seen": 3, "novelty": 1}``.

    The counts change during training, and with them the bonus. As in SOFE (https://arxiv.org/abs/2310.18144), the observation
    gets them, so that the bonus is a function of the observation: ``goal_counts``, 1 / sqrt(1 + n) of each goal, float32 in
    (0, 1]. ``info["novelty_bonus"]`` is the bonus of the step. The checkers need ``training=False``, because
    the counts survive resets, and ``observation_determines_mask=False``, because "novelty" is achieved by chance.

    :param env: a multi-goal environment
    :param counts: how often each goal was newly achieved, int64 ``[G]``; this array is updated, so that environments of one
        process can share it. Of this environment alone if None
    :param training: whether to count; False for evaluation, with the counts of the training

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> env = NoveltyWrapper(gym.make("leo/GridWorld-v0", map="S.."))
        >>> obs, info = env.reset(seed=0)
        >>> obs, _, _, _, info = env.step(1)
        >>> info["novelty_bonus"], env.goal_names[-1], info["goals_achieved"]
        (1.0, 'novelty', array([False,  True, False,  True]))
    """

    def __init__(self, env: gym.Env[Any, Any], counts: npt.NDArray[np.int64] | None = None, *, training: bool = True) -> None:
        check_env(env)
        check_bool("training", training)
        gym.utils.RecordConstructorArgs.__init__(self, _disable_deepcopy=True, counts=counts, training=training)
        gym.Wrapper.__init__(self, env)
        if not env.has_wrapper_attr("goal_names"):
            raise ValueError(
                "expected a multi-goal environment, got one without goal_names; wrap it with MultiGoalWrapper first"
            )
        names = check_goal_names(env.get_wrapper_attr("goal_names"))
        self.goal_names = check_goal_names((*names, NOVELTY))
        self.counts = np.zeros(len(names), dtype=np.int64) if counts is None else counts
        _check_counts(self.counts, len(names))
        self.training = training
        inner = env.observation_space.spaces if isinstance(env.observation_space, spaces.Dict) else None
        counts_space = spaces.Box(0.0, 1.0, (len(names),), np.float32)
        self.observation_space = spaces.Dict({**(inner or {"observation": env.observation_space}), COUNTS_KEY: counts_space})
        self._is_dict = inner is not None
        self._rng = np.random.default_rng()
        self._before: BoolArray = np.zeros(len(names), dtype=bool)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Start an episode; its first state achieves no novelty.

        :param seed: seed of the environment, and of the generator that decides whether "novelty" is achieved
        :param options: options of the environment
        """
        obs, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._before = read_mask(info, "at reset")
        return self._add_counts(obs), {**info, MASK_KEY: np.append(self._before, False), "novelty_bonus": 0.0}

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and count the goals newly achieved."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        achieved = read_mask(info, "at a step")
        new = achieved & ~self._before
        self._before = achieved
        bonus = 0.0
        if new.any():
            # Without training the step counts too, but only for itself.
            bonus = float(1.0 / np.sqrt(self.counts[new].min() + 1))
            self.counts[new] += self.training
        is_novel = self._rng.random() < bonus
        info = {**info, MASK_KEY: np.append(achieved, is_novel), "novelty_bonus": bonus}
        return self._add_counts(obs), reward, terminated, truncated, info

    def set_commanded_goal(self, goal_id: int | None) -> None:
        """
        Pass the commanded goal on to the environment, for rendering; none for "novelty".

        :param goal_id: the goal, or None
        """
        if self.env.has_wrapper_attr("set_commanded_goal"):
            self.env.get_wrapper_attr("set_commanded_goal")(None if goal_id == len(self.counts) else goal_id)

    def has_wrapper_attr(self, name: str) -> bool:
        """
        Return whether the environment has an attribute.

        :param name: name of the attribute
        :return: False for those of the goal set, which lacks "novelty"
        """
        return name not in _HIDDEN and super().has_wrapper_attr(name)

    def get_wrapper_attr(self, name: str) -> Any:
        """
        Return an attribute of the environment.

        :param name: name of the attribute
        :return: its value
        :raises AttributeError: for those of the goal set, which lacks "novelty"
        """
        if name in _HIDDEN:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return super().get_wrapper_attr(name)

    def __getattr__(self, name: str) -> Any:
        return goal_env_method(self, name)

    def _add_counts(self, obs: Any) -> dict[str, Any]:
        compressed = (1.0 / np.sqrt(1.0 + self.counts)).astype(np.float32)
        return {**(obs if self._is_dict else {"observation": obs}), COUNTS_KEY: compressed}


def _check_counts(counts: Any, num_goals: int) -> None:
    if not isinstance(counts, np.ndarray) or counts.dtype != np.int64 or counts.shape != (num_goals,) or counts.min() < 0:
        raise ValueError(
            f"expected counts of {num_goals} goals, an int64 array of at least 0, got {counts!r}; pass "
            f"np.zeros({num_goals}, dtype=np.int64), or the counts of a wrapper for the same goals"
        )
