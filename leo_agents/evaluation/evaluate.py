"""Evaluation of a model on every goal, in parallel environments."""

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
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecNormalize,
    unwrap_vec_wrapper,
)

from leo_agents.evaluation.goal_report import FloatArray, GoalReport, Goals, IntArray, select_goals
from leo_wrappers import GoalSelector, achieved_from_infos
from leo_wrappers.goal_set import check_goal_names
from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from leo_wrappers.validation import check_bool, check_env, check_fraction, check_integer, check_seed, shorten

# Outcomes of an episode: one of these, or the number of steps to success.
_RUNNING, _FAILED, _ALREADY_TRUE = -2, -1, 0
_CELL_NAME = re.compile(r"[^/]+/(\d+),(\d+)")

SetGoals = Callable[[IntArray], None]
"""Sets the goal that each environment commands from the next reset on."""


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
    Evaluate a model on every goal.

    The N environments are reset together, each with its own goal, and stepped until each has achieved its goal or its episode
    is done; then the next N goals follow. A goal already achieved at the reset is no attempt and is counted separately.

    Neither the goal selector nor ``VecNormalize`` update their statistics. The environments are left in the middle of
    episodes: use separate ones, or reset them before training continues. (``GoalConditionedWrapper`` counts these episodes in
    its own selector, which ``seed`` seeds too.)

    With a seed, episode j (over all goals, then over all again) is seeded with ``seed + j``. The report is reproducible, and
    independent of N if the environments are independent, the model is deterministic and ``epsilon`` is 0.

    :param model: model or policy with Stable-Baselines3's ``predict`` for observations with ``goal_id``
    :param env: multi-goal environment, single or vectorized, goal-conditioned or not, with or without ``VecNormalize``
    :param episodes_per_goal: number of episodes per goal
    :param seed: seed of the environments; None leaves them unseeded
    :param goals: evaluate only these goals: names, indices or a mask over all goals
    :param deterministic: whether to use deterministic actions
    :param max_steps: maximum number of steps per attempt; required if episodes do not end on their own
    :param epsilon: evaluation epsilon, the probability of a uniformly random action, drawn from a separate generator with the
        same seed: a greedy policy can get stuck under partial observability
    :param progress_bar: show a progress bar
    :return: attempts, successes and steps of each goal

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> env = gym.make("leo/GridWorld-v0", max_episode_steps=20)
        >>> model = LEODQN("MultiGoalPolicy", env, seed=0)
        >>> evaluate_goals(model, env, seed=0, goals=["cell/0,0"]).attempts
        array([1])
    """
    for name, value in (("episodes_per_goal", episodes_per_goal), ("max_steps", max_steps)):
        if value is not None:
            check_integer(name, value, 1)
    check_epsilon(epsilon)
    check_seed(seed)
    for name, flag in (("deterministic", deterministic), ("progress_bar", progress_bar)):
        check_bool(name, flag)
    check_predictor(model)
    venv = goal_vec_env(env)
    goal_names = check_model(model, venv)
    if epsilon:
        model = EpsilonGreedy(model, venv.action_space, epsilon, seed)
    ids = np.arange(len(goal_names)) if goals is None else select_goals(goal_names, goals)
    episodes = np.tile(ids, episodes_per_goal)
    outcomes = _evaluate(model, venv, episodes, seed, deterministic, max_steps, progress_bar)
    return _report(goal_names, ids, outcomes.reshape(episodes_per_goal, len(ids)).T, find_positions(venv, goal_names))


def _evaluate(
    model: PolicyPredictor,
    venv: VecEnv,
    episodes: IntArray,
    seed: int | None,
    deterministic: bool,
    max_steps: int | None,
    progress_bar: bool,
) -> IntArray:
    """Run one episode for each entry of ``episodes``, its commanded goal, and return their outcomes."""
    outcomes = np.empty(len(episodes), dtype=np.int64)
    with frozen_statistics(venv), _goal_setter(venv) as set_goals, show_progress(len(episodes), progress_bar) as advance:
        for first in range(0, len(episodes), venv.num_envs):
            batch = episodes[first : first + venv.num_envs]
            # In the last batch, surplus environments command any goal and are ignored.
            set_goals(np.concatenate([batch, np.full(venv.num_envs - len(batch), batch[0])]))
            if seed is not None:
                venv.seed(seed + first)
            outcomes[first : first + len(batch)] = _run_episodes(model, venv, batch, deterministic, max_steps, advance)
    return outcomes


def check_epsilon(epsilon: float) -> None:
    """Raise a ValueError unless the probability of a random action lies in [0, 1)."""
    check_fraction("epsilon", epsilon)
    if epsilon == 1.0:
        raise ValueError(f"expected epsilon in [0, 1), got {epsilon}; use e.g. 0.05")


def check_predictor(model: PolicyPredictor) -> None:
    """Raise a TypeError unless a model, and not its class, has Stable-Baselines3's ``predict``."""
    if isinstance(model, type) or not callable(getattr(model, "predict", None)):
        raise TypeError(f"expected a model with predict, got {shorten(model)}; pass a trained model or its policy")


def as_vec_env(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv) -> VecEnv:
    """Convert a single or vectorized environment to a ``VecEnv``."""
    check_env(env, (gym.Env, VectorEnv, VecEnv))
    if isinstance(env, VectorEnv):
        env = GymVecEnv(env)
    return env if isinstance(env, VecEnv) else DummyVecEnv([lambda: env])


def goal_vec_env(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | VecEnv) -> VecEnv:
    """Convert a single or vectorized multi-goal environment to a ``VecEnv`` with ``goal_id`` in the observation."""
    venv = as_vec_env(env)
    is_conditioned = isinstance(venv.observation_space, spaces.Dict) and GOAL_KEY in venv.observation_space.spaces
    return venv if is_conditioned else VecGoalSampler(venv)


def check_model(model: PolicyPredictor, venv: VecEnv) -> tuple[str, ...]:
    """
    Check that a model was trained on the goals of the environments.

    :param model: the model
    :param venv: environments with ``goal_id`` in the observation
    :return: names of the goals
    :raises ValueError: if the model does not observe goals, or its goals differ from those of the environments
    """
    if not venv.has_attr("goal_names"):
        raise ValueError(f"expected environments with goal_names and {GOAL_KEY!r}, got no goal_names; use MultiGoalWrapper")
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
                f"expected a model for the {len(goal_names)} goals of the environment, got one for {goal_space.n}; "
                "use the environment that it was trained in"
            )
    trained = tuple(getattr(model, "goal_names", goal_names))
    if trained != goal_names:
        unlike = next((pair for pair in zip(trained, goal_names, strict=False) if pair[0] != pair[1]), None)
        found = f"{len(trained)} goals" if unlike is None else f"{unlike[0]!r} where the environment has {unlike[1]!r}"
        raise ValueError(
            f"expected a model trained on the environment's {len(goal_names)} goals in their order, got one with {found}; "
            "use the environment that it was trained in"
        )
    return goal_names


def _run_episodes(
    model: PolicyPredictor,
    venv: VecEnv,
    goals: IntArray,
    deterministic: bool,
    max_steps: int | None,
    advance: Callable[[int], object],
) -> IntArray:
    """Run one episode in parallel for each goal and return their outcomes."""
    obs: Any = venv.reset()
    rows = np.arange(len(goals))
    if not np.array_equal(np.reshape(obs[GOAL_KEY], -1)[rows], goals):
        raise ValueError("expected set_goal to take effect at the next reset, got another goal in observations; fix it")
    # The innermost environment's infos: wrappers have their own `reset_infos`, which stays empty.
    achieved = achieved_from_infos(venv.unwrapped.reset_infos, venv.num_envs)
    outcome = np.where(achieved[rows, goals], _ALREADY_TRUE, _RUNNING)
    advance(int((outcome != _RUNNING).sum()))
    step = 0
    while (outcome == _RUNNING).any():
        step += 1
        actions, _ = model.predict(obs, deterministic=deterministic)
        obs, _, dones, infos = venv.step(actions)
        running = outcome == _RUNNING
        success = achieved_from_infos(infos, venv.num_envs)[rows, goals]
        done = dones[rows] if step != max_steps else np.ones(len(rows), dtype=bool)
        outcome[running & success] = step
        outcome[running & ~success & done] = _FAILED
        advance(int((running & (success | done)).sum()))
    return outcome


def _report(
    goal_names: tuple[str, ...], ids: IntArray, outcomes: IntArray, located: tuple[FloatArray, tuple[str, str]] | None
) -> GoalReport:
    positions, axes = located or (None, ("x", "y"))
    return GoalReport(
        tuple(goal_names[goal_id] for goal_id in ids),
        ids,
        (outcomes != _ALREADY_TRUE).sum(axis=1),
        (outcomes == _ALREADY_TRUE).sum(axis=1),
        tuple(row[row > 0] for row in outcomes),
        None if positions is None else positions[ids],
        axes,
    )


class EpsilonGreedy:
    """Model that takes a random action with probability epsilon, independently in each environment."""

    def __init__(self, model: PolicyPredictor, space: spaces.Space[Any], epsilon: float, seed: int | None) -> None:
        self.model, self.epsilon = model, epsilon
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
        for row in np.flatnonzero(self.space.np_random.random(len(result)) < self.epsilon):
            result[row] = self.space.sample()
        return result, state


class _AssignedGoals(GoalSelector):
    """Selector of the assigned goals at a reset of all environments; goals it selects later belong to no attempt."""

    def __init__(self) -> None:
        super().__init__(skip_achieved=False)
        self.assigned: IntArray = np.zeros(0, dtype=np.int64)

    def _draw(self, count: int) -> IntArray:
        return self.assigned[:count].copy()


@contextmanager
def _goal_setter(venv: VecEnv) -> Iterator[SetGoals]:
    """Let the evaluation command the goals, and restore the selector or fixed goals afterwards."""
    sampler = unwrap_vec_wrapper(venv, VecGoalSampler)
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
                f"expected a VecGoalSampler or environments with set_goal, got neither ({error}); wrap them in "
                "GoalConditionedWrapper"
            ) from error


@contextmanager
def frozen_statistics(venv: VecEnv) -> Iterator[None]:
    """Stop ``VecNormalize`` from updating its statistics."""
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
def show_progress(total: int, show: bool) -> Iterator[Callable[[int], object]]:
    """Show a progress bar of episodes; yields the function that advances it."""
    if not show:
        yield lambda count: None
        return
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError('a progress bar needs tqdm; install it with: pip install "leo-rl[agents]"') from error
    with tqdm(total=total, desc="Evaluating goals", unit="episode") as bar:
        yield bar.update


def find_positions(venv: VecEnv, goal_names: tuple[str, ...]) -> tuple[FloatArray, tuple[str, str]] | None:
    """
    Find the 2D positions of the goals.

    :param venv: the environments
    :param goal_names: names of all goals
    :return: positions ``[G, 2]`` and the names of the axes; None if the goals have no 2D positions
    """
    shape = (len(goal_names), 2)
    points = venv.get_attr("goal_points", 0)[0] if venv.has_attr("goal_points") else None
    if points is not None:
        return (np.asarray(points, dtype=np.float64), ("x", "y")) if np.shape(points) == shape else None
    cells = [_CELL_NAME.fullmatch(name) for name in goal_names]
    if all(cells):
        return np.array([(float(cell[2]), float(cell[1])) for cell in cells if cell is not None]), ("column", "row")
    # Requesting an unpicklable goal set from a worker process would crash it.
    if isinstance(venv.unwrapped, SubprocVecEnv) or not venv.has_attr("goal_set"):
        return None
    descriptors: npt.NDArray[Any] = venv.get_attr("goal_set", 0)[0].descriptors
    is_planar = descriptors.shape == shape and not np.array_equal(descriptors, np.eye(2))
    return (descriptors.astype(np.float64), ("x", "y")) if is_planar else None
