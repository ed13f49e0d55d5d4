"""PQN with the goal as input, with or without hindsight relabeling: the baseline of LEOPQN."""

from typing import Any, ClassVar

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule, TensorDict

from leo_agents.algorithms.on_policy_algorithm import GoalOnPolicyAlgorithm
from leo_agents.baselines.pqn.policies import GoalInputQNetwork, PQNPolicy
from leo_agents.learning.cuda_graph import GraphedFunction
from leo_agents.learning.finite_checks import FiniteChecks
from leo_agents.learning.losses import LossName, all_goals_lambda_targets, all_goals_targets, goals_loss
from leo_agents.learning.optimization import optimizer_step
from leo_agents.learning.rollout_q_learner import TARGET_ROWS
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer
from leo_agents.replay.hindsight import hindsight_goals
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_fraction


class PQN(GoalOnPolicyAlgorithm):
    """
    Parallel Q-learning with the goal as input of the network (universal value function approximator): each transition updates
    its commanded goal or, with ``her_ratio``, a goal that was achieved later in its episode.

    All else, including the parameters not listed here, is as in :class:`~leo_agents.leo_pqn.leo_pqn.LEOPQN`.

    :param policy: policy class, or ``"GoalInputPolicy"``, ``"MultiGoalPolicy"``, ``"MlpPolicy"``, ``"CnnPolicy"`` or
        ``"MultiInputPolicy"``, all of which mean :class:`~leo_agents.baselines.pqn.policies.PQNPolicy`
    :param her_ratio: fraction of transitions that are relabeled with a goal achieved by a later state of the same episode and
        rollout; not together with ``q_lambda``
    :param policy_kwargs: additional arguments of the policy; ``descriptors`` are the goal inputs

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> PQN("GoalInputPolicy", envs, her_ratio=0.8, seed=0).learn(2_048).num_timesteps
        2048
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "GoalInputPolicy": PQNPolicy,
        "MultiGoalPolicy": PQNPolicy,
        "MlpPolicy": PQNPolicy,
        "CnnPolicy": PQNPolicy,
        "MultiInputPolicy": PQNPolicy,
    }
    not_saved: ClassVar[tuple[str, ...]] = ("_max_outputs", "_finite_checks", "_graphed_acting", "_graphed_update")
    policy: PQNPolicy

    def __init__(
        self,
        policy: str | type[PQNPolicy],
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
        exploration_spread: float = 0.0,
        max_grad_norm: float = 1.0,
        loss: LossName | None = None,
        amp: bool = False,
        tf32: bool = True,
        cuda_graph: bool | None = None,
        her_ratio: float = 0.0,
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
            exploration_spread=exploration_spread,
            max_grad_norm=max_grad_norm,
            loss=loss,
            amp=amp,
            tf32=tf32,
            cuda_graph=cuda_graph,
            paper_mode=paper_mode,
            goal_selector=goal_selector,
            log_goals=log_goals,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
        )
        self.her_ratio = her_ratio
        # max_a Q(s, a) of the rollout's states for the goals commanded there: known from acting, needed for the targets.
        self._max_outputs: list[th.Tensor] = []
        self._finite_checks = FiniteChecks(["the commanded goals"])
        if _init_setup_model:
            self._setup_model()

    @property
    def q_net(self) -> GoalInputQNetwork:
        """The Q-network."""
        return self.policy.q_net

    def _setup_model(self) -> None:
        super()._setup_model()
        optimizers = [self.policy.optimizer]
        self._graphed_acting = GraphedFunction(self.q_net.goal_outputs, self.policy, [], self.cuda_graph)
        self._graphed_update = GraphedFunction(self._update, self.policy, optimizers, self.cuda_graph)

    def _check_options(self) -> None:
        super()._check_options()
        check_fraction("her_ratio", self.her_ratio)
        if self.her_ratio > 0.0 and self.q_lambda > 0.0:
            raise ValueError("expected her_ratio or q_lambda, got both: returns of relabeled transitions are off-policy")

    def _start_rollout(self) -> None:
        self._max_outputs = []

    def _acting_outputs(self, rollout: GoalRolloutBuffer) -> th.Tensor:
        outputs = self._graphed_acting(rollout.last_observations(), rollout.last_goal_ids())
        self._max_outputs.append(outputs.amax(dim=1))
        return outputs

    def train(self) -> None:
        """Relabel, compute the targets once, then run ``n_epochs`` of minibatch updates."""
        rollout = self.rollout_buffer
        goal_ids, relabeled = self._relabel(rollout)
        targets = self.targets(rollout, goal_ids, relabeled)
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        actions = rollout.actions.flatten()
        losses = [
            self._graphed_update(rollout.observations(rows), actions[rows], goal_ids[rows], targets[rows])
            for rows in rollout.minibatches(self.n_epochs, self.minibatch_size)
        ]
        self._finite_checks.raise_if_failed()
        self._log_update(th.stack(losses))

    def _relabel(self, rollout: GoalRolloutBuffer) -> tuple[th.Tensor, th.Tensor]:
        """Return the goal of each transition ``[T * N]``, and whether it is a hindsight goal."""
        goal_ids = rollout.goal_ids[:-1].flatten()
        relabeled = th.zeros_like(goal_ids, dtype=th.bool)
        if self.her_ratio > 0.0:
            hindsight = hindsight_goals(rollout)
            relabeled = (hindsight >= 0) & (th.rand(len(rollout), device=self.device) < self.her_ratio)
            goal_ids = th.where(relabeled, hindsight, goal_ids)
        return goal_ids, relabeled

    def targets(self, rollout: GoalRolloutBuffer, goal_ids: th.Tensor, relabeled: th.Tensor) -> th.Tensor:
        """
        Compute the target of each transition for its goal.

        :param rollout: a full rollout
        :param goal_ids: a goal per transition ``[T * N]``
        :param relabeled: whether it is not the commanded goal ``[T * N]``
        :return: ``[T * N, 1]``
        """
        grid = (rollout.n_steps, rollout.n_envs, 1)
        achieved = rollout.goal_achieved(goal_ids.view(grid[:2])).flatten()
        goals_achieved = achieved.float().unsqueeze(1)
        next_values = self._next_values(rollout, goal_ids, achieved, relabeled).unsqueeze(1)
        if self.q_lambda == 0.0:
            return all_goals_targets(goals_achieved, next_values, rollout.terminated.flatten(), self.gamma)
        cut = rollout.dones | (rollout.goal_ids[1:] != rollout.goal_ids[:-1])
        return all_goals_lambda_targets(
            goals_achieved.view(grid), next_values.view(grid), rollout.terminated, cut, self.gamma, self.q_lambda
        ).flatten(0, 1)

    def compute_loss(self, rollout: GoalRolloutBuffer, rows: th.Tensor, goal_ids: th.Tensor, targets: th.Tensor) -> th.Tensor:
        """
        Compute the loss of some transitions.

        :param rollout: the rollout
        :param rows: numbers of transitions ``[B]``
        :param goal_ids: a goal per transition ``[T * N]``
        :param targets: from :meth:`targets`
        :return: a scalar
        """
        actions = rollout.actions.flatten()[rows]
        return self._loss(rollout.observations(rows), actions, goal_ids[rows], targets[rows])

    def _loss(self, observations: TensorDict, actions: th.Tensor, goal_ids: th.Tensor, targets: th.Tensor) -> th.Tensor:
        with self._autocast(self.amp):
            outputs = self.q_net.goal_outputs(observations, goal_ids).gather(1, actions.unsqueeze(1)).float()
        return goals_loss(outputs, targets, self.loss, self.q_net.squash, checks=self._finite_checks)

    def _update(self, observations: TensorDict, actions: th.Tensor, goal_ids: th.Tensor, targets: th.Tensor) -> th.Tensor:
        """Perform one optimizer step and return the loss before it."""
        loss = self._loss(observations, actions, goal_ids, targets)
        optimizer_step(self.policy.optimizer, loss, self.max_grad_norm, self._finite_checks)
        return loss.detach()

    def _next_values(
        self, rollout: GoalRolloutBuffer, goal_ids: th.Tensor, achieved: th.Tensor, relabeled: th.Tensor
    ) -> th.Tensor:
        """
        Return max_a Q(s', a) of the true next states for the transitions' goals ``[T * N]``.

        Most were computed for acting. The others are computed here, unless the target does not depend on them.
        """
        network = self.q_net
        with th.no_grad(), self._autocast(self.amp):
            last = network.goal_outputs(rollout.last_observations(), rollout.last_goal_ids()).amax(dim=1)
            values = network.values(th.cat([*self._max_outputs[1:], last]).float())
            known = ~rollout.dones & (rollout.goal_ids[1:] == rollout.goal_ids[:-1])
            needed = ~(achieved | rollout.terminated.flatten())
            missing = th.nonzero(needed & (relabeled | ~known.flatten())).flatten()
            for rows in th.split(missing, TARGET_ROWS):
                outputs = network.goal_outputs(rollout.next_observations(rows), goal_ids[rows]).amax(dim=1)
                values[rows] = network.values(outputs.float())
        return values
