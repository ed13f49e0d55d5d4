"""Check an environment with tasks."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import concatenate, create_empty_array

from leo_wrappers.checks.arguments import check_checker_arguments
from leo_wrappers.checks.env import check_multigoal_env
from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.checks.recording import sample_actions
from leo_wrappers.keys import MASK_KEY, TASK_REWARDS_KEY
from leo_wrappers.tasks.task_set import Transition
from leo_wrappers.tasks.wrapper import TaskWrapper
from leo_wrappers.validation import check_instance


def check_task_env(env: TaskWrapper, *, seed: int = 0, steps: int = 200, skip_sb3_check: bool = False) -> None:
    """
    Check that the functions of a task set do what the learning algorithms rely on.

    Plays random episodes and checks that rewards and terminations of each step are new arrays, and the same if the functions
    are called again, and if they are called with all transitions as one batch. Then runs
    :func:`~leo_wrappers.check_multigoal_env`. A :class:`~leo_wrappers.checks.ContractError` names the tasks, the step and the
    seed. The info of a batch has the entries that every step reports as numbers or arrays of one shape. The environment is
    left open; reset it before its next use.

    :param env: the environment with tasks, which must not be wrapped further
    :param seed: seed of the environment and the actions
    :param steps: number of steps to play, over as many episodes as they take
    :param skip_sb3_check: skip ``stable_baselines3.common.env_checker.check_env``, which otherwise runs if installed

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_wrappers.tasks import FunctionTasks, Task
        >>> tasks = FunctionTasks([Task("stay", lambda t: t.goals_achieved[..., 0]), Task("wait", lambda t: -1.0)])
        >>> check_task_env(TaskWrapper(gym.make("leo/GridWorld-v0", map="S.."), tasks), steps=20)
    """
    check_instance("env", env, TaskWrapper, "wrap the environment with TaskWrapper and its tasks")
    check_checker_arguments(oracle=None, steps=steps, seed=seed, skip_sb3_check=skip_sb3_check)
    position = RunPosition(
        action_source=f"The actions of this run are env.action_space.sample() after env.action_space.seed({seed})."
    )
    recorder = _Recorder(env.env)
    env.env = recorder
    try:
        _play(env, recorder, position, seed, steps)
    finally:
        env.env = recorder.env
    # The history of the episode is part of a transition.
    check_multigoal_env(env, seed=seed, steps=steps, observation_determines_mask=False, skip_sb3_check=skip_sb3_check)


class _Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Records the last transition of the wrapped environment."""

    last: Transition
    _observation: Any

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._observation, info = self.env.reset(seed=seed, options=options)
        return self._observation, info

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        mask = info.get(MASK_KEY)
        self.last = Transition(self._observation, action, obs, np.asarray(reward), np.asarray(terminated), mask, info)
        self._observation = obs
        return obs, reward, terminated, truncated, info


def _play(env: TaskWrapper, recorder: _Recorder, position: RunPosition, seed: int, steps: int) -> None:
    """Play random episodes, and check each step on its own and all together."""
    transitions, rewards, ended = [], [], []
    env.reset(seed=seed)
    position.count_reset(seed)
    for action in sample_actions(env.action_space, seed, steps):
        position.count_step()
        _, _, terminated, truncated, info = env.step(action)
        transitions.append(recorder.last)
        rewards.append(info[TASK_REWARDS_KEY])
        ended.append(info[MASK_KEY])
        again = env.task_set.evaluate(recorder.last)
        _compare(env, position, (rewards[-1], ended[-1]), again, "when they were called again with the same transition")
        if terminated or truncated:
            env.reset()
            position.count_reset(None)
    batch = env.task_set.evaluate(_batch(env, transitions))
    for number in range(len(transitions)):
        position.step = number + 1
        one = batch.rewards[number], batch.ended[number]
        _compare(env, position, (rewards[number], ended[number]), one, "when they were called with a batch of transitions")


def _compare(env: TaskWrapper, position: RunPosition, step: Any, again: Any, when: str) -> None:
    for what, before, after in zip(("reward", "termination"), step, again, strict=True):
        differs = ~np.isclose(before, after, rtol=1e-4, atol=1e-5)
        if differs.any():
            names = [env.goal_names[task] for task in np.flatnonzero(differs)]
            raise position.error(
                f"the {what} of each task to be a function of the transition, with any leading batch shape",
                f"{before[differs][:3].tolist()}, and {after[differs][:3].tolist()} {when}",
                "index transitions from their end, as in t.next_observation[..., 0], and keep no state",
                names,
            )


def _batch(env: TaskWrapper, transitions: list[Transition]) -> Transition:
    """Stack transitions."""

    def stack(space: gym.Space[Any], values: list[Any]) -> Any:
        empty: Any = create_empty_array(space, len(values))
        return concatenate(space, values, empty)

    masks = [transition.goals_achieved for transition in transitions]
    return Transition(
        stack(env.observation_space, [transition.observation for transition in transitions]),
        stack(env.action_space, [transition.action for transition in transitions]),
        stack(env.observation_space, [transition.next_observation for transition in transitions]),
        np.stack([transition.reward for transition in transitions]),
        np.stack([transition.terminated for transition in transitions]),
        None if masks[0] is None else np.stack(masks),  # type: ignore[arg-type]
        _batch_info([transition.info for transition in transitions]),
    )


def _batch_info(infos: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Stack the entries that all infos have as numbers or arrays of one shape."""
    result = {}
    for key in set(infos[0]).intersection(*infos):
        values = [np.asarray(info[key]) for info in infos]
        if values[0].dtype.kind in "biuf" and all(value.shape == values[0].shape for value in values):
            result[key] = np.stack(values)
    return result
