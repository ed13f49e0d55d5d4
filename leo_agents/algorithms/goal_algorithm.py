"""What every algorithm here shares: the environment's goals, and how they are commanded and reported."""

import os
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch as th
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from leo_agents.learning.checkpoints import resume, save_checkpoint
from leo_agents.networks.policies import Observation
from leo_wrappers.goal_set import Goal, check_goal_names
from leo_wrappers.keys import GOAL_KEY
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from leo_wrappers.selection import GoalSelectorLike, make_goal_selector


def find_sampler(env: VecEnv | None) -> VecGoalSampler | None:
    """
    :param env: a wrapped environment
    :return: the sampler that commands its goals, if there is one
    """
    while env is not None and not isinstance(env, VecGoalSampler):
        env = env.venv if isinstance(env, VecEnvWrapper) else None
    return env


def check_discrete_actions(venv: VecEnv) -> VecEnv:
    """
    Refuses actions of another kind before they fail in the midst of training.

    :param venv: an environment
    :return: the same
    """
    if not isinstance(venv.action_space, spaces.Discrete):
        remedy = "use LEOTD3 or LEOSAC" if isinstance(venv.action_space, spaces.Box) else "flatten the actions to Discrete"
        raise ValueError(f"expected Discrete actions, got {venv.action_space}; {remedy}")
    return venv


class GoalAlgorithm(BaseAlgorithm):
    """
    A mixin, to stand before one of Stable-Baselines3's algorithms: binds it to the goals of its environment.

    ``goal_names`` are the goals that it learns, ``goal_selector`` how they are chosen in training (None leaves the sampler's
    own way), ``log_goals`` whether to log a success rate for every goal. ``checkpointed`` names the attributes that a
    checkpoint must hold besides what ``save`` writes.
    """

    checkpointed: ClassVar[tuple[str, ...]] = ()
    goal_names: tuple[str, ...]
    goal_selector: GoalSelectorLike | None
    log_goals: bool

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """As the parent; takes Gymnasium's vector environments too, and commands goals where nothing does so yet."""
        if isinstance(env, VectorEnv):
            env = GymVecEnv(env)
        venv = BaseAlgorithm._wrap_env(env, verbose, monitor_wrapper)
        if GOAL_KEY in getattr(venv.observation_space, "spaces", {}):
            return venv
        if verbose >= 1:
            print("Wrapping the env in a VecGoalSampler.")
        return VecGoalSampler(venv)

    @property
    def goal_sampler(self) -> VecGoalSampler | None:
        """What commands the goals in training; None where each environment does so by itself."""
        return find_sampler(self.env)

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """
        Trains on with another environment, of the same goals; what was seen of them is remembered.

        :param env: the environment
        :param force_reset: reset it before training
        """
        venv = self._wrap_env(env, self.verbose)
        self._check_goals(venv)
        before, after = self.goal_sampler, find_sampler(venv)
        super().set_env(venv, force_reset)
        if before is not None and after is not None and before is not after:
            after.set_goal_selector(before.goal_selector)

    def act(self, observation: Observation, goal: Goal) -> Any:
        """
        The best action towards a goal, for a single observation.

        :param observation: with or without a commanded goal, which is ignored
        :param goal: a name or an index
        :return: the action
        """
        return self.policy.act(observation, goal)  # type: ignore[operator]

    def save_checkpoint(self, folder: str | os.PathLike[str]) -> Path:
        """
        Saves all that training needs to go on exactly, replay and environments included; replaces the checkpoint before.

        Call it between two calls of ``learn``, or let :class:`~leo_agents.learning.checkpoints.ExactCheckpoints` call it. A
        process killed while saving leaves the previous checkpoint whole.

        :param folder: the folder of this training's checkpoints
        :return: the checkpoint's own folder
        """
        return save_checkpoint(self, folder)

    @classmethod
    def resume(
        cls,
        folder: str | os.PathLike[str],
        env: GymEnv | None = None,
        device: th.device | str = "auto",
    ) -> Self:
        """
        Goes on from the newest checkpoint: the next ``learn(..., reset_num_timesteps=False)`` does what the saved one would
        have done. Load only what you trust: checkpoints are pickles.

        :param folder: the folder of a training's checkpoints
        :param env: the environment, where it could not be saved, or another one, which starts with a new episode
        :param device: where to compute
        :return: the algorithm
        """
        return resume(cls, folder, env, device)

    def _bind_goals(self) -> None:
        """Before the networks are made: takes over the environment's goals, or insists on those already learned."""
        if self.env is not None:
            if self.goal_names:
                self._check_goals(self.env)
            self.goal_names = self._goals_of(self.env)
            self._apply_selector()
        elif not self.goal_names:
            raise ValueError("expected an environment to learn the goals of, got None; pass env, or load a saved model")
        # JSON has no tuples, and a saved model's names went through it.
        self.goal_names = tuple(self.goal_names)
        # A copy: the parent keeps the very dictionary that the user passed.
        self.policy_kwargs = {**self.policy_kwargs, "goal_names": self.goal_names}

    def _apply_selector(self) -> None:
        if self.goal_selector is None:
            return
        sampler = self.goal_sampler
        if sampler is None:
            raise ValueError(
                "expected a bare multi-goal environment beside goal_selector, got one that chooses its goals itself; "
                "leave out GoalConditionedWrapper or goal_selector"
            )
        sampler.set_goal_selector(make_goal_selector(self.goal_selector, sampler.goal_names, self.seed))

    @staticmethod
    def _goals_of(env: VecEnv) -> tuple[str, ...]:
        try:
            return check_goal_names(env.get_attr("goal_names", 0)[0])
        except AttributeError:
            raise ValueError(
                f"expected an environment with goal_names beside {GOAL_KEY!r}, got one without; use GoalConditionedWrapper"
            ) from None

    def _check_goals(self, env: VecEnv) -> None:
        names, mine = self._goals_of(env), tuple(self.goal_names)
        if names == mine:
            return
        if set(names) == set(mine):
            raise ValueError(f"expected the {len(mine)} goals in the order they were learned in, got them in another order")
        missing, extra = sorted(set(mine) - set(names))[:3], sorted(set(names) - set(mine))[:3]
        raise ValueError(
            f"expected an environment with the {len(mine)} goals that were learned, got {len(names)} others; "
            f"missing: {missing}, unknown: {extra}"
        )

    def _log_goals(self) -> None:
        """A few numbers about all goals; one for each goal only on request, and not to the terminal."""
        sampler = self.goal_sampler
        if sampler is None:
            return
        selector = sampler.goal_selector
        tried = selector.attempts > 0
        self.logger.record("goals/seen", int(selector.seen.sum()))
        self.logger.record("goals/commanded", int(tried.sum()))
        if tried.any():
            rates = selector.successes[tried] / selector.attempts[tried]
            self.logger.record("goals/success_rate", float(selector.successes.sum() / selector.attempts.sum()))
            self.logger.record("goals/success_rate_worst_decile", float(np.quantile(rates, 0.1)))
        if self.log_goals:
            for goal_id in np.flatnonzero(tried).tolist():
                rate = float(selector.successes[goal_id] / selector.attempts[goal_id])
                self.logger.record(f"goal/{self.goal_names[goal_id]}", rate, exclude=("stdout", "log"))

    def _excluded_save_params(self) -> list[str]:
        # It may be a function, or hold a generator; the environment that a saved model gets has its own.
        return [*super()._excluded_save_params(), "goal_selector"]
