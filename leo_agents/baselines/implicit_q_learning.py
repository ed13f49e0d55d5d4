"""Goal-conditioned implicit Q-learning: values of states from the actions of the data, and a policy weighted by advantages."""

from typing import Any

import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.torch_layers import create_mlp
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, GymEnv, PyTorchObs, Schedule
from torch import nn
from torch.nn import functional as F

from leo_agents.baselines.behavior_cloning import GoalConditionedBC, GoalInputActorPolicy
from leo_agents.baselines.goal_conditioned import goal_conditioned_venv, goal_input_kwargs
from leo_agents.baselines.her_replay_buffer import MaskHerReplayBuffer
from leo_agents.learning.losses import all_goals_targets, bce_goals_loss, check_expectile, expectile_weights
from leo_agents.learning.optimization import polyak_update
from leo_agents.networks.goal_descriptors import GoalInput
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_at_least, check_bool

# Largest weight of an action in the actor's loss, as in the paper.
MAX_WEIGHT = 100.0


class GoalInputIQLPolicy(GoalInputActorPolicy):
    """
    :class:`~leo_agents.baselines.behavior_cloning.GoalInputActorPolicy` with V(s, g) and two critics Q(s, a, g), which read
    the features, the goal and the action, and are sigmoids.
    """

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        space, size = self.action_space, self.features_dim
        action_dim = int(space.n) if isinstance(space, spaces.Discrete) else get_action_dim(space)
        self.state_values = self._make_mlp(size)
        self.critics, self.critics_target = (
            nn.ModuleList(self._make_mlp(size + action_dim) for _ in range(2)) for _ in range(2)
        )
        self.critics_target.load_state_dict(self.critics.state_dict())
        self.critics_target.requires_grad_(False)
        trained = [one for one in self.parameters() if one.requires_grad]
        self.optimizer = self.optimizer_class(trained, lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _make_mlp(self, inputs: int) -> nn.Sequential:
        layers = create_mlp(inputs, 1, self.hidden_layers, self.activation_fn, post_linear_modules=[nn.LayerNorm])
        return nn.Sequential(*layers)

    def value_logits(self, obs: PyTorchObs) -> th.Tensor:
        """
        Compute the logits of V(s, g).

        :param obs: observations with ``goal_id``
        :return: ``[B, 1]``
        """
        return self.state_values(self.extract_features(obs))  # type: ignore[no-any-return]

    def q_logits(self, obs: PyTorchObs, actions: th.Tensor, target: bool = False) -> th.Tensor:
        """
        Compute the logits of Q(s, a, g).

        :param obs: observations with ``goal_id``
        :param actions: as the replay buffer stores them, ``[B, act]``
        :param target: whether to use the target critics
        :return: of both critics, ``[2, B, 1]``
        """
        features: Any = self.extract_features(obs)
        if isinstance(self.action_space, spaces.Discrete):
            actions = F.one_hot(actions.long().flatten(), int(self.action_space.n)).to(features.dtype)
        inputs = th.cat([features, actions], dim=1)
        return th.stack([critic(inputs) for critic in (self.critics_target if target else self.critics)])

    def commanded_values(self, obs: PyTorchObs) -> th.Tensor:
        return th.sigmoid(self.value_logits(obs))


class GoalConditionedIQL(GoalConditionedBC):
    """
    Goal-conditioned implicit Q-learning (https://arxiv.org/abs/2110.06169) on transitions that are relabeled in hindsight::

        V(s, g)    = expectile of Q_target(s, a, g) over the actions of the data
        Q(s, a, g) = m_g + gamma * (1 - m_g) * (1 - terminated) * V(s', g)
        pi(a | s, g) maximizes exp(beta * (Q_target(s, a, g) - V(s, g))) * log pi(a | s, g)

    with cross-entropy losses, as values are in [0, 1]. No value of an action that the data does not contain is used. Create it
    by :func:`goal_conditioned_iql`.

    :param policy: the policy class
    :param env: goal-conditioned environments
    :param learning_rate: learning rate, or a schedule
    :param expectile: between 0 and 1; 0.5 is the mean over the actions of the data, 1 would be their maximum
    :param inverse_temperature: beta, at least 0; 0 is behavior cloning. One step more to a goal lowers its value by up to
        1 - gamma
    :param kwargs: arguments of :class:`~leo_agents.baselines.GoalConditionedBC`
    """

    policy: GoalInputIQLPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: type[GoalInputIQLPolicy],
        env: GymEnv,
        learning_rate: float | Schedule = 1e-3,
        *,
        expectile: float = 0.9,
        inverse_temperature: float = 300.0,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(policy, env, learning_rate, _init_setup_model=False, **kwargs)
        self.expectile = expectile
        self.inverse_temperature = inverse_temperature
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        check_expectile(self.expectile)
        check_at_least("inverse_temperature", self.inverse_temperature, 0)
        super()._setup_model()

    def loss(self, batch: DictReplayBufferSamples) -> th.Tensor:
        """
        Compute the sum of the losses of V, Q and pi; no gradient flows from one into another.

        :param batch: relabeled transitions
        :return: a scalar
        """
        policy, obs, actions = self.policy, batch.observations, batch.actions
        with th.no_grad():
            q_values = th.sigmoid(policy.q_logits(obs, actions, target=True).amin(dim=0))
            next_values = policy.commanded_values(batch.next_observations)
            # Done is 1 where the goal was achieved, too.
            targets = all_goals_targets(batch.rewards, next_values, batch.dones, self.gamma)
        value_logits = policy.value_logits(obs)
        values = th.sigmoid(value_logits).detach()
        value_loss = bce_goals_loss(value_logits, q_values, expectile_weights(values, q_values, self.expectile))
        q_loss = th.stack([bce_goals_loss(logits, targets) for logits in policy.q_logits(obs, actions)]).sum()
        weights = (self.inverse_temperature * (q_values - values)).exp().clamp(max=MAX_WEIGHT).flatten()
        return value_loss + q_loss - (weights * policy.log_prob(obs, actions)).mean()

    def _after_gradient_step(self) -> None:
        polyak_update(self.policy.critics.parameters(), self.policy.critics_target.parameters(), self.tau)


def goal_conditioned_iql(
    env: GymEnv | str,
    *,
    goal_input: GoalInput = "descriptor",
    descriptors: npt.ArrayLike | None = None,
    normalize: bool = True,
    goal_selector: GoalSelectorLike | None = None,
    **kwargs: Any,
) -> GoalConditionedIQL:
    """
    Create goal-conditioned implicit Q-learning, for discrete or continuous actions.

    Four of five rows get a goal achieved later in the episode, the others keep the commanded one, see
    :class:`~leo_agents.baselines.MaskHerReplayBuffer`.

    :param env: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param goal_input: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param descriptors: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param normalize: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param goal_selector: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param kwargs: arguments of :class:`~leo_agents.baselines.GoalConditionedIQL`, such as ``expectile`` and
        ``inverse_temperature``
    :return: the untrained model

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import collect_dataset
        >>> dataset = collect_dataset(gym.make("leo/GridWorld-v0"), 400)
        >>> model = goal_conditioned_iql(gym.make("leo/GridWorld-v0"), seed=0).learn_offline(dataset, 10)
        >>> model.policy.values(dataset.observations["observation"][:1]).shape
        (1, 180)
    """
    check_bool("normalize", normalize)
    venv = goal_conditioned_venv(env, goal_selector)
    options = {"normalize_observations": normalize}
    kwargs = goal_input_kwargs(venv, goal_input, MaskHerReplayBuffer, descriptors, options, kwargs)
    return GoalConditionedIQL(GoalInputIQLPolicy, venv, **{"tau": 0.02, **kwargs})
