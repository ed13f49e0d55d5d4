"""Goal-conditioned behavior cloning: supervised learning of the actions that led to goals."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, GymEnv, PyTorchObs
from stable_baselines3.common.vec_env import VecNormalize
from torch.nn import functional as F

from leo_agents.baselines.algorithms import NormalizedDQN
from leo_agents.baselines.goal_conditioned import goal_conditioned_venv, goal_input_kwargs
from leo_agents.baselines.her_replay_buffer import HindsightStrategy, MaskHerReplayBuffer
from leo_agents.baselines.policies import GoalInputDQNPolicy
from leo_agents.learning.optimization import optimizer_step
from leo_agents.networks.goal_descriptors import GoalInput
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_bool


class HindsightReplayBuffer(MaskHerReplayBuffer):
    """
    :class:`~leo_agents.baselines.MaskHerReplayBuffer` that relabels every sampled row; those for which the drawn step achieved
    no goal are left out.
    """

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> DictReplayBufferSamples:  # type: ignore[override]
        env_inds = np.random.randint(0, self.n_envs, size=len(batch_inds))
        goals = self._hindsight_goals(batch_inds, env_inds)
        found = goals >= 0
        return self._relabel(batch_inds[found], env_inds[found], goals[found, None], env)


class GoalInputBCPolicy(GoalInputDQNPolicy):
    """Policy of goal-conditioned behavior cloning: the outputs of DQN's network are the logits of the actions."""

    def commanded_values(self, obs: PyTorchObs) -> th.Tensor:
        raise ValueError("expected an agent with values, got behavior cloning, which learns actions; use goal_conditioned_dqn")


class GoalConditionedBC(NormalizedDQN):
    """
    Behavior cloning in hindsight: maximizes log pi(a | s, g) of the taken actions for goals that were achieved later.

    Online it is GCSL (https://arxiv.org/abs/1912.06088). Create it by :func:`goal_conditioned_bc`.
    """

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
            loss = F.cross_entropy(self.q_net(batch.observations), batch.actions.long().flatten())
            optimizer_step(self.policy.optimizer, loss, self.max_grad_norm)
            losses.append(loss.item())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        if losses:
            self.logger.record("train/loss", np.mean(losses))


def goal_conditioned_bc(
    env: GymEnv | str,
    *,
    goal_selection_strategy: HindsightStrategy = "future",
    goal_input: GoalInput = "descriptor",
    descriptors: npt.ArrayLike | None = None,
    normalize: bool = True,
    goal_selector: GoalSelectorLike | None = None,
    **dqn_kwargs: Any,
) -> GoalConditionedBC:
    """
    Create goal-conditioned behavior cloning for discrete actions.

    :param env: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param goal_selection_strategy: ``"future"``, as in GCSL: actions are those towards any goal achieved later in the episode;
        ``"final"``: towards a goal achieved by its last step
    :param goal_input: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param descriptors: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param normalize: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param goal_selector: as in :func:`~leo_agents.baselines.goal_conditioned_dqn`
    :param dqn_kwargs: arguments of ``stable_baselines3.DQN``; those of its targets are not used
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
    dqn_kwargs["replay_buffer_kwargs"] = {
        **(dqn_kwargs.get("replay_buffer_kwargs") or {}),
        "goal_selection_strategy": goal_selection_strategy,
    }
    options = {"squash": False, "normalize_observations": normalize}
    kwargs = goal_input_kwargs(venv, goal_input, HindsightReplayBuffer, descriptors, options, dqn_kwargs)
    return GoalConditionedBC(GoalInputBCPolicy, venv, **kwargs)
