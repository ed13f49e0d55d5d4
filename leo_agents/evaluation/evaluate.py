"""How well a model achieves each goal: evaluation of all goals, in all environments at once."""

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecEnvWrapper, VecNormalize

from leo_agents.algorithms.goal_algorithm import find_sampler
from leo_agents.evaluation.goal_report import FloatArray, GoalReport, Goals, IntArray, select_goals
from leo_wrappers import GoalSelector, achieved_from_infos
from leo_wrappers.goal_set import check_goal_names
from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler

_OPEN, _FAILED, _ALREADY_TRUE = -2, -1, 0
_CELL_NAME = re.compile(r"[^/]+/(\d+),(\d+)")

Command = Callable[[IntArray], None]
"""Says which goals the next reset is to command, one for each environment."""


def evaluate_goals(
    model: PolicyPredictor,
    env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv,
    episodes_per_goal: int = 1,
    seed: int | None = None,
    *,
    goals: Goals | None = None,
    deterministic: bool = True,
    max_steps: int | None = None,
    epsilon: float = 0.0,
    progress_bar: bool = False,
) -> GoalReport:
    """
    Commands every goal and sees whether the model achieves it.

    All N environments are reset together, each with a goal of its own, and step until each has achieved its goal by a step
    or ended its episode; then come the next N. So N environments are up to N times as fast as one. A goal that is true at
    the reset already is no attempt and counted apart.

    Nothing about training changes: the sampler's selector and statistics, the statistics of ``VecNormalize``, and, if
    deterministic, no random number is drawn outside the environments. But the environments are left in the midst of
    episodes: evaluate in others than a training that is to go on uses, or reset these. (``GoalConditionedWrapper`` counts
    these episodes in its own selector, and a seed seeds that too.)

    With a seed, episode number j (counted through all goals, then through all again) starts from ``seed + j``. The same seed
    gives the same report, for any N where the environments are independent of each other and the model is deterministic,
    without random actions.

    :param model: anything with Stable-Baselines3's ``predict`` for observations with ``goal_id``
    :param env: multi-goal environments, single or vectorised, bare or goal-conditioned, with or without ``VecNormalize``
    :param episodes_per_goal: number of episodes with each goal
    :param seed: seeds the environments; without one they go on with their own randomness
    :param goals: only these: names, indices or a mask over all goals
    :param deterministic: let the model act without exploring
    :param max_steps: give an attempt up after this many steps; needed where episodes do not end by themselves
    :param epsilon: share of uniformly random actions, drawn by a generator of its own with the same seed: where the
        agent sees little, one that never errs may stand before a wall for ever
    :param progress_bar: show one
    :return: the report

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> env = gym.make("leo/GridWorld-v0", max_episode_steps=20)
        >>> model = LEODQN("MultiGoalPolicy", env, seed=0)
        >>> report = evaluate_goals(model, gym.make("leo/GridWorld-v0", max_episode_steps=20), seed=0, goals=["cell/0,0"])
        >>> report.attempts
        array([1])
    """
    for name, value in (("episodes_per_goal", episodes_per_goal), ("max_steps", max_steps)):
        if value is not None and value < 1:
            raise ValueError(f"expected {name} of at least 1, got {value}")
    check_epsilon(epsilon)
    venv = goal_vec_env(env)
    goal_names = check_model(model, venv)
    if epsilon:
        model = _NowAndThenRandom(model, venv.action_space, epsilon, seed)
    ids = np.arange(len(goal_names)) if goals is None else select_goals(goal_names, goals)
    jobs = np.tile(ids, episodes_per_goal)
    outcomes = np.empty(len(jobs), dtype=np.int64)
    with _statistics_kept(venv), _commanding(venv) as command, _progress(len(jobs), progress_bar) as settled:
        for first in range(0, len(jobs), venv.num_envs):
            batch = jobs[first : first + venv.num_envs]
            # Environments left over in the last round take any goal, and are ignored.
            command(np.concatenate([batch, np.full(venv.num_envs - len(batch), batch[0])]))
            if seed is not None:
                venv.seed(seed + first)
            outcomes[first : first + len(batch)] = _play(model, venv, batch, deterministic, max_steps, settled)
    return _report(goal_names, ids, outcomes.reshape(episodes_per_goal, len(ids)).T, _positions(venv, goal_names))


def check_epsilon(epsilon: float) -> None:
    """
    Refuses a share of random actions that is none.

    :param epsilon: the share
    """
    if not 0.0 <= epsilon < 1.0:
        raise ValueError(f"expected epsilon from 0 to below 1, got {epsilon}; 0.05 is usual")


def goal_vec_env(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv) -> VecEnv:
    """
    Environments as Stable-Baselines3 wants them, with a commanded goal in the observations.

    :param env: multi-goal environments of any kind
    :return: the same where nothing is missing
    """
    if isinstance(env, VectorEnv):
        env = GymVecEnv(env)
    venv = env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])
    return venv if GOAL_KEY in getattr(venv.observation_space, "spaces", {}) else VecGoalSampler(venv)


def check_model(model: PolicyPredictor, venv: VecEnv) -> tuple[str, ...]:
    """
    Refuses models that know no goals or others than the environments.

    :param model: the model
    :param venv: environments with a commanded goal in the observations
    :return: the goals of the environments
    """
    if not venv.has_attr("goal_names"):
        raise ValueError(f"expected environments with goal_names beside {GOAL_KEY!r}, got some without; use MultiGoalWrapper")
    goal_names = check_goal_names(venv.get_attr("goal_names", 0)[0])
    space = getattr(model, "observation_space", None)
    if space is not None:
        goal_space = space.spaces.get(GOAL_KEY) if isinstance(space, spaces.Dict) else None
        if not isinstance(goal_space, spaces.Discrete):
            raise ValueError(
                f"expected a model that observes {GOAL_KEY!r}, got one for {space}; train it in a VecGoalSampler or a "
                "GoalConditionedWrapper"
            )
        if goal_space.n != len(goal_names):
            raise ValueError(
                f"expected a model for the {len(goal_names)} goals of the environment, got one for {goal_space.n}"
            )
    learned = tuple(getattr(model, "goal_names", goal_names))
    if learned != goal_names:
        unlike = next((pair for pair in zip(learned, goal_names, strict=False) if pair[0] != pair[1]), None)
        where = f"{len(learned)} goals" if unlike is None else f"{unlike[0]!r} where the environment has {unlike[1]!r}"
        raise ValueError(
            f"expected a model trained on the {len(goal_names)} goals of the environment in their order, got one with {where}"
        )
    return goal_names


def _play(
    model: PolicyPredictor,
    venv: VecEnv,
    goals: IntArray,
    deterministic: bool,
    max_steps: int | None,
    settled: Callable[[int], object],
) -> IntArray:
    """One round; for each goal the number of steps it took, or one of the marks."""
    obs: Any = venv.reset()
    rows = np.arange(len(goals))
    if not np.array_equal(np.reshape(obs[GOAL_KEY], -1)[rows], goals):
        raise ValueError("expected set_goal to command a goal from the next reset on, got another one in the observation")
    # The innermost environment's infos: wrappers own a list of their own, which nobody fills.
    achieved = achieved_from_infos(venv.unwrapped.reset_infos, venv.num_envs)
    outcome = np.where(achieved[rows, goals], _ALREADY_TRUE, _OPEN)
    settled(int((outcome != _OPEN).sum()))
    step = 0
    while (outcome == _OPEN).any():
        step += 1
        actions, _ = model.predict(obs, deterministic=deterministic)
        obs, _, dones, infos = venv.step(actions)
        is_open = outcome == _OPEN
        hit = achieved_from_infos(infos, venv.num_envs)[rows, goals]
        over = dones[rows] if step != max_steps else np.ones(len(rows), dtype=bool)
        outcome[is_open & hit] = step
        outcome[is_open & ~hit & over] = _FAILED
        settled(int((is_open & (hit | over)).sum()))
    return outcome


def _report(
    goal_names: tuple[str, ...], ids: IntArray, outcomes: IntArray, places: tuple[FloatArray, tuple[str, str]] | None
) -> GoalReport:
    positions, axes = places or (None, ("x", "y"))
    return GoalReport(
        tuple(goal_names[goal_id] for goal_id in ids),
        ids,
        (outcomes != _ALREADY_TRUE).sum(axis=1),
        (outcomes == _ALREADY_TRUE).sum(axis=1),
        tuple(row[row > 0] for row in outcomes),
        None if positions is None else positions[ids],
        axes,
    )


class _NowAndThenRandom:
    """A model that acts at random now and then, in each environment by its own coin."""

    def __init__(self, model: PolicyPredictor, space: spaces.Space[Any], share: float, seed: int | None) -> None:
        self.model, self.share = model, share
        self.space = copy.deepcopy(space)
        self.space.seed(seed)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[npt.NDArray[Any], Any]:
        actions, state = self.model.predict(observation, state, episode_start, deterministic)
        result = np.array(actions)
        for row in np.flatnonzero(self.space.np_random.random(len(result)) < self.share):
            result[row] = self.space.sample()
        return result, state


class _AssignedGoals(GoalSelector):
    """At a reset of all environments the goals assigned to them; whatever is chosen later belongs to no attempt."""

    def __init__(self) -> None:
        super().__init__(skip_achieved=False)
        self.assigned: IntArray = np.zeros(0, dtype=np.int64)

    def _draw(self, count: int) -> IntArray:
        return self.assigned[:count].copy()


@contextmanager
def _commanding(venv: VecEnv) -> Iterator[Command]:
    """Gives the say over goals to the evaluation, and hands it back."""
    sampler = find_sampler(venv)
    if sampler is not None:
        selector = _AssignedGoals()
        with sampler.commanding(selector):
            yield lambda goals: setattr(selector, "assigned", goals)
        return
    before = venv.get_attr("fixed_goal") if venv.has_attr("fixed_goal") else [None] * venv.num_envs
    try:
        yield lambda goals: _set_goals(venv, goals.tolist())
    finally:
        _set_goals(venv, before)


def _set_goals(venv: VecEnv, goals: list[int | None]) -> None:
    for row, goal in enumerate(goals):
        try:
            venv.env_method("set_goal", goal, indices=row)
        except AttributeError as error:
            raise ValueError(
                f"expected environments whose goals can be commanded, by a VecGoalSampler around them or by their set_goal, "
                f"got neither ({error})"
            ) from error


@contextmanager
def _statistics_kept(venv: VecEnv) -> Iterator[None]:
    layers, layer = [], venv
    while isinstance(layer, VecEnvWrapper):
        if isinstance(layer, VecNormalize):
            layers.append((layer, layer.training))
        layer = layer.venv
    for normalize, _ in layers:
        normalize.training = False
    try:
        yield
    finally:
        for normalize, training in layers:
            normalize.training = training


@contextmanager
def _progress(total: int, shown: bool) -> Iterator[Callable[[int], object]]:
    if not shown:
        yield lambda count: None
        return
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError('a progress bar needs tqdm; install it with: pip install "leo-rl[agents]"') from error
    with tqdm(total=total, desc="Evaluating goals", unit="episode") as bar:
        yield bar.update


def _positions(venv: VecEnv, goal_names: tuple[str, ...]) -> tuple[FloatArray, tuple[str, str]] | None:
    """Where the goals lie, if that is a place in the plane, and what the coordinates are."""
    shape = (len(goal_names), 2)
    points = venv.get_attr("goal_points", 0)[0] if venv.has_attr("goal_points") else None
    if points is not None:
        return (np.asarray(points, dtype=np.float64), ("x", "y")) if np.shape(points) == shape else None
    cells = [_CELL_NAME.fullmatch(name) for name in goal_names]
    if all(cells):
        places = [(float(cell[2]), float(cell[1])) for cell in cells if cell is not None]
        return np.array(places), ("column", "row")
    # A goal set need not be picklable, and asking another process for one that is not would kill it.
    if isinstance(venv.unwrapped, SubprocVecEnv) or not venv.has_attr("goal_set"):
        return None
    descriptors: npt.NDArray[Any] = venv.get_attr("goal_set", 0)[0].descriptors
    is_place = descriptors.shape == shape and not np.array_equal(descriptors, np.eye(2))
    return (descriptors.astype(np.float64), ("x", "y")) if is_place else None
