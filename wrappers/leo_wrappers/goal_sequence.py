"""Wrapper that commands a sequence of goals of a multi-goal environment."""

from collections.abc import Iterable
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_wrappers.goal_conditioned import GoalView
from leo_wrappers.goal_set import BoolArray, Goal, check_goal_names, goal_index
from leo_wrappers.infos import read_mask
from leo_wrappers.keys import ENDED_BY_GOAL_KEY, SEQUENCE_KEY
from leo_wrappers.multi_goal import goal_env_method
from leo_wrappers.validation import check_env, check_integer, check_iterable, check_seed

IntArray = npt.NDArray[np.int64]


def next_sequences(sequences: IntArray, masks: BoolArray) -> IntArray:
    """
    Remove the first goal of each sequence whose first goal was achieved.

    :param sequences: ids of the goals that are left, in order, filled up with G, ``[N, L]``
    :param masks: masks of the steps, bool ``[N, G]``
    :return: the sequences after the steps, ``[N, L]``
    """
    num_goals = masks.shape[1]
    first = sequences[:, 0]
    achieved = (first < num_goals) & masks[np.arange(len(masks)), np.minimum(first, num_goals - 1)]
    rest = np.full_like(sequences, num_goals)
    rest[:, :-1] = sequences[:, 1:]
    return np.where(achieved[:, None], rest, sequences)


class GoalSequenceWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Wrapper that commands goals to achieve one after the other, and rewards the last one.

    The observation becomes a flat dictionary with ``goal_sequence``, the ids of the goals that are left, in order, filled up
    with the number of goals. A step that achieves the first of them removes it, and only it: each goal needs a step of its
    own. The reward is 1.0 in the step that removes the last one, which terminates the episode, and 0.0 in all others;
    ``info["is_success"]`` is whether none is left. Goals achieved at reset do not count.

    Each episode has a sequence of random length of uniformly drawn goals, unless ``reset`` is given one.

    :param env: a multi-goal environment
    :param max_length: largest length of a sequence, L
    :param seed: seed of the sequences until the first ``reset(seed=...)``

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> env = GoalSequenceWrapper(gym.make("leo/GridWorld-v0", map="S.."), max_length=3)
        >>> obs, info = env.reset(options={"goals": ["cell/0,1", "cell/0,0"]})
        >>> obs["goal_sequence"]
        array([1, 0, 3])
        >>> obs, reward, terminated, truncated, info = env.step(1)
        >>> obs["goal_sequence"], env.step(3)[1]
        (array([0, 3, 3]), 1.0)
    """

    def __init__(self, env: gym.Env[Any, Any], max_length: int = 5, seed: int | None = None) -> None:
        check_env(env)
        check_integer("max_length", max_length, 1)
        check_seed(seed)
        gym.utils.RecordConstructorArgs.__init__(self, _disable_deepcopy=True, max_length=max_length, seed=seed)
        gym.Wrapper.__init__(self, env)
        if not env.has_wrapper_attr("goal_names"):
            raise ValueError(
                "expected a multi-goal environment, got one without goal_names; wrap it with MultiGoalWrapper first"
            )
        self.goal_names = check_goal_names(env.get_wrapper_attr("goal_names"))
        self.max_length = max_length
        self._view = GoalView(env.observation_space, len(self.goal_names) + 1, key=SEQUENCE_KEY)
        choices = spaces.MultiDiscrete([len(self.goal_names) + 1] * max_length)
        self.observation_space = spaces.Dict({**self._view.space.spaces, SEQUENCE_KEY: choices})
        self._rng = np.random.default_rng(seed)
        self.goal_sequence: IntArray = np.full(max_length, len(self.goal_names), dtype=np.int64)
        """The goals that are left, as in the observation."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Start an episode and command its goals.

        :param seed: seed of the environment and of the sequences
        :param options: ``{"goals": names_or_indices}`` commands these goals; other keys go to the environment
        """
        options = dict(options or {})
        requested = options.pop("goals", None)
        goals = None if requested is None else self._checked(requested)  # before anything changes
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        obs, info = self.env.reset(seed=seed, options=options or None)
        read_mask(info, "at reset")
        if goals is None:
            goals = self._rng.integers(len(self.goal_names), size=self._rng.integers(1, self.max_length + 1)).tolist()
        self.goal_sequence = np.array(goals + [len(self.goal_names)] * (self.max_length - len(goals)), dtype=np.int64)
        return self._view.add(obs, self.goal_sequence), {**info, "is_success": False}

    def step(self, action: Any) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and remove the first goal if it was achieved."""
        obs, _, terminated, truncated, info = self.env.step(action)
        before, none = self.goal_sequence[0], len(self.goal_names)
        self.goal_sequence = next_sequences(self.goal_sequence[None], read_mask(info, "at a step")[None])[0]
        is_success = bool(self.goal_sequence[0] == none)
        info = {**info, "is_success": is_success}
        if is_success and not terminated:
            terminated = info[ENDED_BY_GOAL_KEY] = True
        reward = float(is_success and before != none)
        return self._view.add(obs, self.goal_sequence), reward, bool(terminated), bool(truncated), info

    def __getattr__(self, name: str) -> Any:
        return goal_env_method(self, name)

    def _checked(self, goals: Iterable[Goal]) -> list[int]:
        if isinstance(goals, str):
            raise TypeError(f"expected a sequence of goals, got the single string {goals!r}; write [{goals!r}]")
        check_iterable("goals", goals)
        ids = [goal_index(self.goal_names, goal) for goal in goals]
        if not 1 <= len(ids) <= self.max_length:
            raise ValueError(f"expected 1 to {self.max_length} goals, got {len(ids)}; use a larger max_length for more")
        return ids
