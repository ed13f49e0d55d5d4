"""Q-learning of all goals from rollouts, without target network: the learner of LEOPQN and the teacher of Dual LEO."""

from collections.abc import Sequence
from typing import Any

import torch as th
from stable_baselines3.common.type_aliases import TensorDict

from leo_agents.learning.cuda_graph import GraphedFunction
from leo_agents.learning.losses import all_goals_lambda_targets, all_goals_targets
from leo_agents.learning.q_learner import AllGoalsQLearner, check_goals_per_update, sample_goals
from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.networks.q_policy import AllGoalsQPolicy
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer
from leo_wrappers.validation import check_fraction, check_integer

# Rows per forward pass when computing targets: enough to amortize reading the head's weights, few enough to stay in cache.
TARGET_ROWS = 2048


class RolloutQLearner(AllGoalsQLearner):
    """
    Computes the targets of a rollout once, with the network that acted, and minimizes the loss in epochs of minibatches.

    The features computed for acting are kept until the end of the rollout: they are also the features of the next states.

    :param policy: has the Q-network and its optimizer
    :param n_epochs: number of epochs per rollout
    :param batch_size: number of transitions in a minibatch
    :param q_lambda: lambda of the Q(lambda) targets; 0 for one-step targets
    :param goals_per_update: number of goals drawn for each rollout; all if None
    :param task_discounts: discount factor of each task, instead of ``gamma``; None for goals
    :param kwargs: arguments of :class:`~leo_agents.learning.q_learner.AllGoalsQLearner`
    """

    def __init__(
        self,
        policy: AllGoalsQPolicy,
        *,
        n_epochs: int,
        batch_size: int,
        q_lambda: float = 0.0,
        goals_per_update: int | None = None,
        task_discounts: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, **kwargs)
        check_integer("n_epochs", n_epochs, 1)
        check_integer("batch_size", batch_size, 1)
        check_fraction("q_lambda", q_lambda)
        check_goals_per_update(goals_per_update, len(policy.goal_names))
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.q_lambda = q_lambda
        self.goals_per_update = goals_per_update
        self.task_discounts = None if task_discounts is None else th.tensor(task_discounts, device=policy.device)
        self._graphed_acting = GraphedFunction(self._features_and_outputs, policy, [], self.cuda_graph)
        self.features: list[th.Tensor] = []

    @property
    def q_net_target(self) -> GoalQNetwork:
        """The online network: there is no target network."""
        return self.q_net

    def start_rollout(self) -> None:
        """Discard the features of the previous rollout; to be called before the first step."""
        self.features = []

    def acting_outputs(self, rollout: GoalRolloutBuffer) -> th.Tensor:
        """
        Compute the head's outputs in the newest observations, for the commanded goals; to be called once before every step.

        :param rollout: the rollout so far
        :return: ``[N, A]``
        """
        features, outputs = self._graphed_acting(rollout.last_observations(), rollout.last_goal_ids())
        self.features.append(features)
        return outputs

    def _features_and_outputs(self, observations: TensorDict, goal_ids: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        features = self.q_net.features(observations)
        return features, self.q_net.head.for_goals(features, goal_ids)

    def sample_goals(self) -> th.Tensor | None:
        """Draw the goals of a rollout's updates: ``[K]``; None for all goals."""
        return sample_goals(len(self.policy.goal_names), self.goals_per_update, self.policy.device)

    def rollout_targets(self, rollout: GoalRolloutBuffer, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the targets y_g of all transitions of a full rollout.

        :param rollout: the rollout
        :param goals: goals to compute ``[K]``
        :return: ``[T * N, G]`` or ``[T * N, K]``
        """
        next_values = self._rollout_next_values(rollout, goals)
        rewards, ended, discount = self._rewards(rollout, goals)
        if self.q_lambda == 0.0:
            return all_goals_targets(rewards, next_values, rollout.terminated.flatten(), discount, ended)
        grid = (rollout.n_steps, rollout.n_envs, -1)
        next_values = next_values.view(grid)
        return all_goals_lambda_targets(
            rewards.view(grid),
            next_values,
            rollout.terminated,
            rollout.dones if self.cut_tolerance is None else self._cut(rollout, next_values, goals),
            discount[: rollout.n_envs] if isinstance(discount, th.Tensor) else discount,
            self.q_lambda,
            ended.view(grid),
        ).flatten(0, 1)

    def _cut(self, rollout: GoalRolloutBuffer, next_values: th.Tensor, goals: th.Tensor | None) -> th.Tensor:
        """Return where the next row does not continue a transition, or with an action that is not greedy, ``[T, N, K]``."""
        network = self.q_net
        with th.no_grad(), self.autocast():
            taken = [
                network.values(network.head.taken(features, actions.long(), goals).float())
                for features, actions in zip(self.features[1:], rollout.actions[1:], strict=True)
            ]
        cut = rollout.dones.unsqueeze(2).expand_as(next_values).clone()
        cut[:-1] |= ~self.is_greedy(th.stack(taken), next_values[:-1])
        return cut

    def _rewards(self, rollout: GoalRolloutBuffer, goals: th.Tensor | None) -> tuple[th.Tensor, th.Tensor, float | th.Tensor]:
        """Return rewards ``[T * N, K]``, whether the goals or tasks ended, and the discount or one for each reward."""
        rewards, discounts = rollout.goals_achieved(), self.task_discounts
        ended = rewards > 0
        if discounts is not None:
            rewards = rollout.task_rewards.flatten(0, 1)
        if goals is not None:
            rewards, ended = rewards.index_select(1, goals), ended.index_select(1, goals)
            discounts = None if discounts is None else discounts[goals]
        return rewards, ended, self.gamma if discounts is None else discounts.expand_as(rewards)

    def fit(self, rollout: GoalRolloutBuffer, targets: th.Tensor, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Run ``n_epochs`` of minibatch updates.

        :param rollout: the rollout
        :param targets: from :meth:`rollout_targets`
        :param goals: goals of the targets ``[K]``
        :return: the losses of the updates ``[U]``
        """
        self.policy.set_training_mode(True)
        actions = rollout.actions.flatten()
        losses = [
            self.graphed_update(rollout.observations(rows), actions[rows], targets[rows], goals)
            for rows in rollout.minibatches(self.n_epochs, self.batch_size)
        ]
        self.finite_checks.raise_if_failed()
        return th.stack(losses)

    def _rollout_next_values(self, rollout: GoalRolloutBuffer, goals: th.Tensor | None) -> th.Tensor:
        """Return max_a' Q_g(s', a') of the true next states, ``[T * N, K]``."""
        network = self.q_net
        with th.no_grad(), self.autocast():
            parts = [*self.features, network.features(rollout.last_observations())]
            final_rows, final_observations = rollout.final_observations()
            if len(final_rows):
                parts.append(network.features(final_observations))
            features = th.cat(parts)
            values = [
                network.values(network.head.max_over_actions(features.index_select(0, rows), goals).float())
                for rows in th.split(rollout.next_rows(), TARGET_ROWS)
            ]
        return th.cat(values)
