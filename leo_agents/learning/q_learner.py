"""Q-learning of all goals from a batch of transitions, independent of where the transitions come from."""

from collections.abc import Callable
from typing import Any

import torch as th
from stable_baselines3.common.type_aliases import TensorDict

from leo_agents.learning.cuda_graph import GraphedFunction, check_cuda_graph
from leo_agents.learning.finite_checks import FiniteChecks
from leo_agents.learning.losses import (
    GoalReduction,
    all_goals_lambda_targets,
    all_goals_targets,
    check_expectile,
    check_loss_options,
    expectile_weights,
    goals_loss,
)
from leo_agents.learning.optimization import optimizer_step
from leo_agents.learning.precision import bfloat16_autocast
from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.networks.q_policy import AllGoalsQPolicy
from leo_agents.replay.goal_replay_buffer import GoalReplayBufferSamples
from leo_agents.replay.n_step_buffer import GoalWindow
from leo_wrappers.validation import check_at_least, check_bool, check_fraction, check_instance, check_integer, check_positive

# Values of the same action by two functions of the head differ by less, relative to their size plus 1: in float32, bfloat16.
ROUNDING = {False: 1e-6, True: 2.0**-7}


class AllGoalsQLearner:
    """
    Targets, loss and update of Q_g(s, a) for all goals at once.

    For a transition (s, a, s') with m_g = 1 if s' achieves goal g::

        y_g = m_g + gamma * (1 - m_g) * (1 - terminated) * max_a' Q_target,g(s', a')
        loss = mean over batch and goals of BCE(Q_g(s, a), y_g), or of 0.5 * (Q_g(s, a) - y_g)^2

    All methods take ``goals``, the indices ``[K]`` of the goals to compute; all goals if None.

    :param policy: has the Q-network, its optimizer and, optionally, a target network
    :param gamma: discount factor
    :param loss: ``"bce"`` or ``"squared"``
    :param goal_reduction: ``"mean"`` or ``"sum"`` over the goals
    :param max_grad_norm: maximum norm of the gradient
    :param double_q: choose a' by the online network instead of the target network
    :param cut_tolerance: end the n-step window or the trace of each goal before an action that is not greedy for it, see
        :meth:`window_targets`; None not to
    :param amp: compute in bfloat16 where that is safe
    :param cuda_graph: whether to run updates as CUDA graphs; None to do so if the optimizer can be captured. Only with CUDA
    :param conservative_weight: weight of :meth:`conservative_loss` in updates from data of other policies
    :param expectile: use :meth:`in_sample_targets` in updates from data of other policies, for a policy with a ``value_net``

    With CUDA, an update that is not finite is not applied, nor are later ones; ``finite_checks.raise_if_failed()`` raises the
    error.

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> model = LEODQN("MultiGoalPolicy", gym.make("leo/GridWorld-v0"), learning_starts=50, seed=0).learn(100)
        >>> batch = model.replay_buffer.sample(32)
        >>> targets = model.learner.targets(batch)
        >>> targets.shape
        torch.Size([32, 180])
        >>> float(model.learner.update(batch.observations, batch.actions, targets)) > 0
        True
    """

    def __init__(
        self,
        policy: AllGoalsQPolicy,
        *,
        gamma: float,
        loss: str = "bce",
        goal_reduction: GoalReduction = "mean",
        max_grad_norm: float = 10.0,
        double_q: bool = False,
        cut_tolerance: float | None = None,
        amp: bool = False,
        cuda_graph: bool | None = None,
        conservative_weight: float = 0.0,
        expectile: float | None = None,
    ) -> None:
        check_instance("policy", policy, AllGoalsQPolicy, "pass the policy of LEODQN or LEOPQN")
        check_fraction("gamma", gamma)
        check_loss_options(loss, policy.q_net.squash, goal_reduction)
        check_positive("max_grad_norm", max_grad_norm)
        for name, flag in (("double_q", double_q), ("amp", amp)):
            check_bool(name, flag)
        self.policy = policy
        self.gamma = gamma
        self.loss_name = loss
        self.goal_reduction: GoalReduction = goal_reduction
        self.max_grad_norm = max_grad_norm
        self.double_q = double_q
        if cut_tolerance is not None:
            check_fraction("cut_tolerance", cut_tolerance)
        self.cut_tolerance = cut_tolerance
        check_cuda_graph(cuda_graph)
        check_at_least("conservative_weight", conservative_weight, 0)
        self.conservative_weight = conservative_weight
        if expectile is not None:
            check_expectile(expectile)
        self.expectile = expectile
        self.amp = amp
        self.cuda_graph = cuda_graph
        self.finite_checks = FiniteChecks(policy.goal_names)
        self.graphed_update = self._graphed(self.update)
        self.graphed_update_from = self._graphed(self.update_from)

    @property
    def q_net(self) -> GoalQNetwork:
        """The online network."""
        return self.policy.q_net

    @property
    def q_net_target(self) -> GoalQNetwork:
        """The network that computes the targets."""
        return self.policy.q_net_target  # type: ignore[return-value]

    def autocast(self) -> th.autocast:
        """Return the context of the forward passes, bfloat16 if ``amp``."""
        return bfloat16_autocast(self.policy.device, self.amp)

    def targets(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the TD targets y_g of the taken actions.

        :param batch: transitions or n-step windows
        :param goals: goals to compute ``[K]``
        :return: ``[B, G]`` or ``[B, K]``
        """
        if self.cut_tolerance is not None:
            return self.window_targets(batch, goals)
        next_q_values = self.next_q_values(batch.next_observations, goals)
        discounts, ended = batch.discounts_of(goals, self.gamma), batch.ended_of(goals)
        return all_goals_targets(batch.returns_of(goals), next_q_values, batch.dones, discounts, ended)

    def next_q_values(self, next_observations: TensorDict, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute max_a' Q_target,g(s', a'), or Q_target,g(s', argmax_a' Q_g(s', a')) with ``double_q``.

        :param next_observations: of the next states
        :param goals: goals to compute ``[K]``
        :return: float32 ``[B, G]`` or ``[B, K]``
        """
        with th.no_grad(), self.autocast():
            return self._max_q_values(self.q_net_target.features(next_observations), next_observations, goals)

    def _max_q_values(self, features: th.Tensor, observations: TensorDict, goals: th.Tensor | None) -> th.Tensor:
        """Compute :meth:`next_q_values` from the features of the target network."""
        target = self.q_net_target
        if not self.double_q:
            return target.values(target.head.max_over_actions(features, goals)).float()
        _, next_actions = self.q_net.head.best_actions(self.q_net.features(observations), goals)
        outputs = target.head(features) if goals is None else target.head(features)[:, goals]
        return target.values(outputs.gather(2, next_actions.unsqueeze(2)).squeeze(2)).float()

    def window_targets(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute n-step targets in which the window of each goal g ends before the first action a_k, after the first one, with::

            Q_target,g(s_k, a_k) < max_a Q_target,g(s_k, a) - cut_tolerance * |max_a Q_target,g(s_k, a)|,

        as in Watkins's Q(lambda); these are also the traces of Retrace for a greedy policy. Without this, targets of goal g
        are also returns of actions that other goals commanded or chance chose, which are lower than those of the greedy
        policy.

        :param batch: n-step windows, with all their steps
        :param goals: goals to compute ``[K]``
        :return: ``[B, G]`` or ``[B, K]``
        """
        if batch.window is None:
            raise ValueError("expected a replay buffer with_windows=True for cut_tolerance, got one without; create a new one")
        window = batch.window
        last_values = self.next_q_values(batch.next_observations, goals)
        values, is_greedy = (array.view(-1, *last_values.shape) for array in self._values_and_greedy(window, goals))
        ends = window.ends.unsqueeze(2)
        next_values = th.cat([th.where(ends[:-1], last_values, values), last_values.unsqueeze(0)])
        cut = th.cat([ends[:-1] | ~is_greedy, ends[-1:].expand_as(next_values[-1:])])
        rewards, ended, discounts = window.rewards, window.goals_achieved > 0, window.discounts
        if goals is not None:
            rewards, ended = rewards[:, :, goals], ended[:, :, goals]
            discounts = None if discounts is None else discounts[goals]
        discount = self.gamma if discounts is None else discounts.expand_as(last_values)
        return all_goals_lambda_targets(rewards, next_values, window.terminated, cut, discount, 1.0, ended)[0]

    def _values_and_greedy(self, window: GoalWindow, goals: th.Tensor | None) -> tuple[th.Tensor, th.Tensor]:
        """Return max_a Q_target,g at the later steps, and whether the actions taken there are greedy, ``[M, K]``."""
        target = self.q_net_target
        with th.no_grad(), self.autocast():
            features = target.features(window.observations)
            values = self._max_q_values(features, window.observations, goals)
            taken = target.values(target.head.taken(features, window.actions.long(), goals)).float()
        return values, self.is_greedy(taken, values)

    def is_greedy(self, taken: th.Tensor, best: th.Tensor) -> th.Tensor:
        """
        Return whether taken actions are as good as the best ones, up to ``cut_tolerance``.

        :param taken: values of the taken actions
        :param best: values of the best actions, of the same shape
        :return: bool, of the same shape
        """
        assert self.cut_tolerance is not None
        scale = best.abs()
        return taken >= best - self.cut_tolerance * scale - ROUNDING[self.amp] * (1.0 + scale)

    def loss(
        self, observations: TensorDict, actions: th.Tensor, targets: th.Tensor, goals: th.Tensor | None = None
    ) -> th.Tensor:
        """
        Compute the loss of the taken actions.

        :param observations: of the states
        :param actions: the taken actions, ``[B]`` or ``[B, 1]``
        :param targets: ``[B, G]`` or ``[B, K]``
        :param goals: goals of the targets ``[K]``
        :return: a scalar
        """
        with self.autocast():
            outputs = self.q_net.head.taken(self.q_net.features(observations), actions.long(), goals).float()
        return goals_loss(outputs, targets, self.loss_name, self.q_net.squash, self.goal_reduction, goals, self.finite_checks)

    def update(
        self, observations: TensorDict, actions: th.Tensor, targets: th.Tensor, goals: th.Tensor | None = None
    ) -> th.Tensor:
        """
        Minimize :meth:`loss` by one optimizer step; a target network is not updated.

        :param observations: of the states
        :param actions: the taken actions, ``[B]`` or ``[B, 1]``
        :param targets: ``[B, G]`` or ``[B, K]``
        :param goals: goals of the targets ``[K]``
        :return: the loss before the step, a scalar
        """
        loss = self.loss(observations, actions, targets, goals)
        optimizer_step(self.policy.optimizer, loss, self.max_grad_norm, self.finite_checks)
        return loss.detach()

    def conservative_loss(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the penalty of conservative Q-learning (https://arxiv.org/abs/2006.04779)::

            log sum_a exp z_g(s, a) - z_g(s, a_taken)

        with the outputs z of the head, logits if values are squashed. It lowers actions that the data does not contain, whose
        values nothing else corrects.

        :param batch: transitions or n-step windows
        :param goals: goals to compute ``[K]``
        :return: the mean over the batch, reduced over goals as the loss, a scalar
        """
        with self.autocast():
            outputs = self.q_net.head(self.q_net.features(batch.observations)).float()
        outputs = outputs if goals is None else outputs[:, goals]
        taken = outputs.gather(2, batch.actions.long().view(-1, 1, 1).expand(-1, outputs.shape[1], 1)).squeeze(2)
        penalties = outputs.logsumexp(dim=2) - taken
        return penalties.mean() if self.goal_reduction == "mean" else penalties.sum() / len(penalties)

    def in_sample_targets(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the TD targets with V_g(s') of the value network instead of max_a' Q_target,g(s', a'), as in implicit
        Q-learning (https://arxiv.org/abs/2110.06169): no value of an action that the data does not contain is used.

        :param batch: transitions or n-step windows
        :param goals: goals to compute ``[K]``
        :return: ``[B, G]`` or ``[B, K]``
        """
        with th.no_grad():
            next_values = self.q_net.values(self._value_outputs(batch.next_observations, goals))
        discounts, ended = batch.discounts_of(goals, self.gamma), batch.ended_of(goals)
        return all_goals_targets(batch.returns_of(goals), next_values, batch.dones, discounts, ended)

    def value_loss(self, batch: GoalReplayBufferSamples, goals: th.Tensor | None = None) -> th.Tensor:
        """
        Compute the loss whose minimum V_g(s) is an expectile of Q_target,g(s, a) over the actions of the data.

        :param batch: transitions or n-step windows
        :param goals: goals to compute ``[K]``
        :return: a scalar
        """
        assert self.expectile is not None
        target, actions = self.q_net_target, batch.actions.long()
        with th.no_grad(), self.autocast():
            outputs = target.head.taken(target.features(batch.observations), actions, goals)
            q_values = target.values(outputs.float())
        outputs = self._value_outputs(batch.observations, goals)
        weights = expectile_weights(self.q_net.values(outputs), q_values, self.expectile)
        options = (self.loss_name, self.q_net.squash, self.goal_reduction, goals, self.finite_checks)
        return goals_loss(outputs, q_values, *options, weights)

    def _value_outputs(self, observations: TensorDict, goals: th.Tensor | None) -> th.Tensor:
        """Return the outputs for V_g(s) of the value network ``[B, G]`` or ``[B, K]``, before the sigmoid."""
        network: GoalQNetwork = self.policy.value_net  # type: ignore[assignment]
        with self.autocast():
            return network.head(network.features(observations), goals).squeeze(2).float()

    def update_from(
        self, batch: GoalReplayBufferSamples, goals: th.Tensor | None = None, is_offline: bool = False
    ) -> th.Tensor:
        """
        Compute the targets of a batch and minimize its loss by one optimizer step.

        :param batch: transitions or n-step windows
        :param goals: goals to update ``[K]``
        :param is_offline: whether to use in-sample targets and to add the conservative loss, if there are any
        :return: the loss before the step, a scalar
        """
        if not is_offline:
            return self.update(batch.observations, batch.actions, self.targets(batch, goals), goals)
        in_sample = self.expectile is not None
        targets = self.in_sample_targets(batch, goals) if in_sample else self.targets(batch, goals)
        loss = self.loss(batch.observations, batch.actions, targets, goals)
        if in_sample:
            loss = loss + self.value_loss(batch, goals)
        if self.conservative_weight:
            loss = loss + self.conservative_weight * self.conservative_loss(batch, goals)
        optimizer_step(self.policy.optimizer, loss, self.max_grad_norm, self.finite_checks)
        return loss.detach()

    def _graphed(self, update: Callable[..., th.Tensor]) -> GraphedFunction[th.Tensor]:
        return GraphedFunction(update, self.policy, [self.policy.optimizer], self.cuda_graph)


def sample_goals(num_goals: int, goals_per_update: int | None, device: th.device) -> th.Tensor | None:
    """
    Draw the goals of an update, without replacement.

    :param num_goals: number of goals, G
    :param goals_per_update: number of goals to draw, K
    :param device: device of the result
    :return: ``[K]``; None, meaning all goals, if ``goals_per_update`` is None
    """
    if goals_per_update is None:
        return None
    return th.randperm(num_goals, device=device)[:goals_per_update]


def check_goals_per_update(goals_per_update: Any, num_goals: int) -> None:
    """
    Raise an error if not so many goals can be drawn.

    :param goals_per_update: number of goals to draw, or None for all
    :param num_goals: number of goals
    """
    if goals_per_update is not None:
        check_integer("goals_per_update", goals_per_update, 1, num_goals)
