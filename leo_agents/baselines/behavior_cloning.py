"""Goal-conditioned behavior cloning: supervised learning of the actions that led to goals."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, GymEnv, PyTorchObs, Schedule
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from leo_agents.algorithms.offline_learning import OfflineLearning
from leo_agents.baselines.goal_conditioned import goal_conditioned_venv, goal_input_kwargs
from leo_agents.baselines.her_replay_buffer import HindsightStrategy, MaskHerReplayBuffer
from leo_agents.baselines.policies import GoalInputPolicyMixin
from leo_agents.learning.optimization import optimizer_step
from leo_agents.networks.goal_descriptors import GoalInput
from leo_agents.replay.episode_bounds import Ids
from leo_agents.replay.goal_dataset import GoalDataset
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_bool, check_fraction


class HindsightReplayBuffer(MaskHerReplayBuffer):
    """
    :class:`~leo_agents.baselines.MaskHerReplayBuffer` that relabels every sampled row; those for which the drawn step achieved
    no goal are left out.

    :param args: arguments of ``MaskHerReplayBuffer``
    :param stitch_probability: probability, in a dataset, of going on from the drawn step in another trajectory: the goal is
        replaced by one that is achieved after a random step which achieves the same goal
    :param kwargs: arguments of ``MaskHerReplayBuffer``
    """

    def __init__(self, *args: Any, stitch_probability: float = 0.0, **kwargs: Any) -> None:
        check_fraction("stitch_probability", stitch_probability)
        super().__init__(*args, **kwargs)
        self.stitch_probability = stitch_probability
        # Steps by the goal they achieve, and where those of each goal start.
        self._achieving: npt.NDArray[np.int64] | None = None
        self._starts = np.zeros(0, dtype=np.int64)

    def read_dataset(self, dataset: GoalDataset) -> None:
        """
        Replace the transitions by those of a dataset, see :class:`~leo_agents.replay.n_step_buffer.NStepDictReplayBuffer`.

        :param dataset: the dataset
        """
        super().read_dataset(dataset)
        if self.stitch_probability:
            steps, goals = np.nonzero(np.unpackbits(dataset.packed_masks, axis=1, count=self.num_goals))
            self._achieving = steps[np.argsort(goals, kind="stable")]
            self._starts = np.searchsorted(np.sort(goals), np.arange(self.num_goals + 1))

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> DictReplayBufferSamples:  # type: ignore[override]
        env_inds = np.random.randint(0, self.n_envs, size=len(batch_inds))
        goals = self._hindsight_goals(batch_inds, env_inds)
        found = goals >= 0
        return self._relabel(batch_inds[found], env_inds[found], goals[found, None], env)

    def _hindsight_goals(self, inds: Ids, env_inds: Ids) -> npt.NDArray[np.int64]:
        goals = super()._hindsight_goals(inds, env_inds)
        if self._achieving is None:
            return goals
        rows = np.flatnonzero((goals >= 0) & (np.random.random(len(goals)) < self.stitch_probability))
        via = self._achieving[np.random.randint(self._starts[goals[rows]], self._starts[goals[rows] + 1])]
        following = np.minimum(via + 1, self.episodes.last(via, env_inds[rows]))
        stitched = super()._hindsight_goals(following, env_inds[rows])
        goals[rows] = np.where(stitched >= 0, stitched, goals[rows])
        return goals


class GoalInputActorPolicy(GoalInputPolicyMixin, MultiInputActorCriticPolicy):
    """
    Policy that learns a distribution of actions: a categorical one, or for a Box a normal one around the network's output in
    [-1, 1], with a fixed standard deviation. The arguments are those of the base classes.
    """

    def __init__(self, *args: Any, net_arch: Any = None, **kwargs: Any) -> None:
        self.hidden_layers = [256, 256] if net_arch is None else net_arch
        options = {"activation_fn": nn.ReLU, "ortho_init": False, "log_std_init": -1.0, **kwargs}
        super().__init__(*args, net_arch={"pi": self.hidden_layers, "vf": []}, **options)
        # The replay buffer stores the actions of a Box in [-1, 1].
        self._squash_output = isinstance(self.action_space, spaces.Box)

    def log_prob(self, obs: PyTorchObs, actions: th.Tensor) -> th.Tensor:
        """
        Compute log pi(a | s, g).

        :param obs: observations with ``goal_id``
        :param actions: as the replay buffer stores them, ``[B, act]``
        :return: ``[B]``
        """
        return self.get_distribution(obs).log_prob(actions if self._squash_output else actions.long().flatten())

    def commanded_values(self, obs: PyTorchObs) -> th.Tensor:
        raise ValueError("expected an agent with values, got behavior cloning, which learns actions; use goal_conditioned_iql")

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        if isinstance(self.action_space, spaces.Box):
            # Learned, it would shrink without end on data of a deterministic policy.
            self.log_std.requires_grad_(False)

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> th.Tensor:
        actions = super()._predict(observation, deterministic)
        return actions.clamp(-1.0, 1.0) if self._squash_output else actions

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "net_arch": self.hidden_layers}


class GoalConditionedBC(OfflineLearning, OffPolicyAlgorithm):
    """
    Behavior cloning in hindsight: maximizes log pi(a | s, g) of the taken actions for goals that were achieved later.

    Online, where actions are drawn from the policy, it is GCSL (https://arxiv.org/abs/1912.06088). Create it by
    :func:`goal_conditioned_bc`.

    :param policy: the policy class
    :param env: goal-conditioned environments
    :param learning_rate: learning rate, or a schedule
    :param max_grad_norm: maximum norm of the gradient
    :param kwargs: arguments of Stable-Baselines3's ``OffPolicyAlgorithm``
    """

    policy: GoalInputActorPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: type[GoalInputActorPolicy],
        env: GymEnv,
        learning_rate: float | Schedule = 1e-3,
        *,
        max_grad_norm: float = 10.0,
        _init_setup_model: bool = True,
        **kwargs: Any,
    ) -> None:
        spaces_ = (spaces.Discrete, spaces.Box)
        options = {"support_multi_env": True, "sde_support": False, "supported_action_spaces": spaces_, **kwargs}
        super().__init__(policy, env, learning_rate, **options)
        self.max_grad_norm = max_grad_norm
        if _init_setup_model:
            self._setup_model()

    def loss(self, batch: DictReplayBufferSamples) -> th.Tensor:
        """
        Compute the mean of -log pi(a | s, g) of the taken actions.

        :param batch: relabeled transitions
        :return: a scalar
        """
        return -self.policy.log_prob(batch.observations, batch.actions).mean()

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """
        Sample the replay buffer and update the policy.

        :param gradient_steps: number of gradient steps
        :param batch_size: number of transitions per gradient step
        """
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = []
        for _ in range(gradient_steps):
            batch: Any = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
            if len(batch.actions) == 0:
                continue
            loss = self.loss(batch)
            optimizer_step(self.policy.optimizer, loss, self.max_grad_norm)
            self._after_gradient_step()
            losses.append(loss.item())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        if losses:
            self.logger.record("train/loss", np.mean(losses))

    def _after_gradient_step(self) -> None:
        """Called after every gradient step."""


def goal_conditioned_bc(
    env: GymEnv | str,
    *,
    goal_selection_strategy: HindsightStrategy = "future",
    stitch_probability: float = 0.0,
    goal_input: GoalInput = "descriptor",
    descriptors: npt.ArrayLike | None = None,
    normalize: bool = True,
    goal_selector: GoalSelectorLike | None = None,
    **kwargs: Any,
) -> GoalConditionedBC:
    """
    Create goal-conditioned behavior cloning, for discrete or continuous actions.

    :param env: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param goal_selection_strategy: ``"future"``, as in GCSL: actions are those towards any goal achieved later in the episode;
        ``"final"``: towards a goal achieved by its last step
    :param stitch_probability: temporal data augmentation (https://arxiv.org/abs/2401.11237) in ``learn_offline``: the fraction
        of goals that are taken from another trajectory, which achieves a goal of the transition's own and then the new one
    :param goal_input: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param descriptors: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param normalize: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param goal_selector: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param kwargs: arguments of :class:`~leo_agents.baselines.GoalConditionedBC`
    :return: the untrained model

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import collect_dataset
        >>> dataset = collect_dataset(gym.make("leo/GridWorld-v0"), 400)
        >>> model = goal_conditioned_bc(gym.make("leo/GridWorld-v0"), seed=0).learn_offline(dataset, 10)
        >>> type(model).__name__
        'GoalConditionedBC'
    """
    check_bool("normalize", normalize)
    venv = goal_conditioned_venv(env, goal_selector)
    kwargs["replay_buffer_kwargs"] = {
        **(kwargs.get("replay_buffer_kwargs") or {}),
        "goal_selection_strategy": goal_selection_strategy,
        "stitch_probability": stitch_probability,
    }
    options = {"normalize_observations": normalize}
    kwargs = goal_input_kwargs(venv, goal_input, HindsightReplayBuffer, descriptors, options, kwargs)
    return GoalConditionedBC(GoalInputActorPolicy, venv, **kwargs)
