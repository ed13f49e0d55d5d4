"""PQN about the commanded goal alone, with or without hindsight: what LEOPQN must be compared with."""

from typing import Any, ClassVar, NamedTuple

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from leo_agents.algorithms.on_policy_algorithm import GoalOnPolicyAlgorithm, LossName
from leo_agents.learning.losses import LOSSES, all_goals_targets, check_finite_goals, lambda_goals_targets
from leo_agents.leo_pqn.policies import GoalInputPolicy, GoalInputQNetwork
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer
from leo_agents.replay.hindsight import hindsight_goals
from leo_wrappers.selection import GoalSelectorLike

# Next states whose values are computed at a time.
TARGET_ROWS = 2048


class SingleGoalLesson(NamedTuple):
    """What a rollout teaches about one goal for each transition, arrays of length ``T * N``."""

    goals: th.Tensor
    targets: th.Tensor


class PQN(GoalOnPolicyAlgorithm):
    """
    Parallel Q-learning with the goal among the network's inputs (a universal value function approximator): each transition
    teaches about the commanded goal, or with ``her_ratio`` about one that was achieved later in its episode.

    Everything else is as in :class:`~leo_agents.leo_pqn.leo_pqn.LEOPQN`, whose arguments these are, but for:

    :param her_ratio: share of the transitions whose goal is replaced, by one that a later state of the same episode achieved
        within the rollout; 0 for none
    :param policy: ``"GoalInputPolicy"``, a class like it, or one of Stable-Baselines3's names, which mean the same here
    :param env: multi-goal environments
    :param learning_rate: as there
    :param n_steps: as there
    :param batch_size: as there
    :param n_epochs: as there
    :param gamma: as there
    :param q_lambda: as there; only without ``her_ratio``
    :param exploration_fraction: as there
    :param exploration_initial_eps: as there
    :param exploration_final_eps: as there
    :param max_grad_norm: as there
    :param loss: as there
    :param amp: as there
    :param paper_mode: as there
    :param goal_selector: as there
    :param log_goals: as there
    :param stats_window_size: as there
    :param tensorboard_log: as there
    :param policy_kwargs: further arguments of the policy, see :class:`~leo_agents.leo_pqn.policies.GoalInputPolicy`; its
        ``descriptors`` are what the network reads of a goal
    :param verbose: as there
    :param seed: as there
    :param device: as there
    :param _init_setup_model: as there

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> PQN("GoalInputPolicy", envs, her_ratio=0.8, seed=0).learn(2_048).num_timesteps
        2048
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "GoalInputPolicy": GoalInputPolicy,
        "MlpPolicy": GoalInputPolicy,
        "CnnPolicy": GoalInputPolicy,
        "MultiInputPolicy": GoalInputPolicy,
    }
    transient: ClassVar[tuple[str, ...]] = ("_best",)
    policy: GoalInputPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[GoalInputPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule | None = None,
        n_steps: int = 32,
        batch_size: int = 512,
        n_epochs: int | None = None,
        gamma: float = 0.99,
        q_lambda: float = 0.0,
        exploration_fraction: float = 0.2,
        exploration_initial_eps: float | None = None,
        exploration_final_eps: float | None = None,
        max_grad_norm: float = 1.0,
        loss: LossName | None = None,
        her_ratio: float = 0.0,
        amp: bool = False,
        paper_mode: bool = False,
        goal_selector: GoalSelectorLike | None = None,
        log_goals: bool = False,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ) -> None:
        self.her_ratio = her_ratio
        # The best action's output in the states of the rollout, for the goals commanded there.
        self._best: list[th.Tensor] = []
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            batch_size=batch_size,
            n_epochs=n_epochs,
            gamma=gamma,
            q_lambda=q_lambda,
            exploration_fraction=exploration_fraction,
            exploration_initial_eps=exploration_initial_eps,
            exploration_final_eps=exploration_final_eps,
            max_grad_norm=max_grad_norm,
            loss=loss,
            amp=amp,
            paper_mode=paper_mode,
            goal_selector=goal_selector,
            log_goals=log_goals,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )

    @property
    def q_net(self) -> GoalInputQNetwork:
        """The network."""
        return self.policy.q_net

    def _begin_rollout(self) -> None:
        self._best = []

    def _scores(self, rollout: GoalRolloutBuffer) -> th.Tensor:
        outputs = self.q_net.goal_outputs(rollout.shown(), rollout.goals[rollout.step])
        self._best.append(outputs.amax(dim=1))
        return outputs

    def _lesson(self, rollout: GoalRolloutBuffer) -> SingleGoalLesson:
        goals = rollout.goals[:-1].flatten()
        hits = rollout.hits().flatten()
        relabelled = th.zeros_like(hits)
        if self.her_ratio > 0.0:
            found = hindsight_goals(rollout)
            relabelled = (found >= 0) & (th.rand(len(rollout), device=self.device) < self.her_ratio)
            goals = th.where(relabelled, found, goals)
            hits = rollout.hits(goals.view(rollout.num_steps, -1)).flatten()
        with th.no_grad(), self._autocast():
            next_values = self._next_values(rollout, goals, hits, relabelled)
        return SingleGoalLesson(goals, self._targets(rollout, hits, next_values))

    def _targets(self, rollout: GoalRolloutBuffer, hits: th.Tensor, next_values: th.Tensor) -> th.Tensor:
        achieved, next_values = hits.float().unsqueeze(1), next_values.unsqueeze(1)
        if self.q_lambda == 0.0:
            return all_goals_targets(achieved, next_values, rollout.terminated.flatten(), self.gamma)
        grid = (rollout.num_steps, rollout.num_envs, 1)
        cut = rollout.done | (rollout.goals[1:] != rollout.goals[:-1])
        targets = lambda_goals_targets(
            achieved.view(grid), next_values.view(grid), rollout.terminated, cut, self.gamma, self.q_lambda
        )
        return targets.flatten(0, 1)

    def _next_values(self, rollout: GoalRolloutBuffer, goals: th.Tensor, hits: th.Tensor, relabelled: th.Tensor) -> th.Tensor:
        """
        The value of each true next state for the transition's goal. Most are known from acting there; computed are those
        for another goal, or of a state in which nobody acted, unless nothing depends on them.
        """
        network = self.q_net
        last = network.goal_outputs(rollout.shown(), rollout.goals[-1]).amax(dim=1)
        values = network.values(th.cat([*self._best[1:], last]).float())
        same_pursuit = ~rollout.done & (rollout.goals[1:] == rollout.goals[:-1])
        idle = hits | rollout.terminated.flatten()
        missing = th.nonzero(~idle & (relabelled | ~same_pursuit.flatten())).flatten()
        for rows in th.split(missing, TARGET_ROWS):
            outputs = network.goal_outputs(rollout.next_states(rows), goals[rows]).amax(dim=1)
            values[rows] = network.values(outputs.float())
        return values

    def _loss(self, rollout: GoalRolloutBuffer, rows: th.Tensor, lesson: SingleGoalLesson) -> th.Tensor:
        targets = lesson.targets.index_select(0, rows)
        actions = rollout.actions.flatten().index_select(0, rows).unsqueeze(1)
        goals = lesson.goals.index_select(0, rows)
        with self._autocast():
            outputs = self.q_net.goal_outputs(rollout.states(rows), goals).gather(1, actions).float()
        predictions = outputs if self.loss == "bce" else self.q_net.values(outputs)
        loss = LOSSES[self.loss](predictions, targets)
        if not th.isfinite(loss):
            check_finite_goals(predictions, targets, ["the commanded ones"], self.num_timesteps)
        return loss

    def _check_options(self) -> None:
        super()._check_options()
        if not 0.0 <= self.her_ratio <= 1.0:
            raise ValueError(f"expected her_ratio between 0 and 1, got {self.her_ratio}")
        if self.her_ratio > 0.0 and self.q_lambda > 0.0:
            raise ValueError("expected her_ratio or q_lambda, got both: what followed a step was done for another goal")
