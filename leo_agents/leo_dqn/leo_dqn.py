"""LEODQN: deep Q-learning of all goals from every transition."""

from typing import Any, ClassVar, Literal

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.dqn.dqn import DQN

from leo_agents.algorithms.discrete_algorithm import DiscreteGoalAlgorithm
from leo_agents.algorithms.off_policy_algorithm import GoalOffPolicyAlgorithm
from leo_agents.learning.losses import GoalReduction
from leo_agents.learning.probe import Probe
from leo_agents.learning.q_learner import AllGoalsQLearner
from leo_agents.leo_dqn.policies import LEODQNPolicy
from leo_agents.networks.heads import warn_of_dense_head
from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_wrappers.selection import GoalSelectorLike
from leo_wrappers.validation import check_integer


class LEODQN(DiscreteGoalAlgorithm, GoalOffPolicyAlgorithm, DQN):
    """
    Learning Everything all at Once (LEO) with a replay buffer and a target network.
    Paper: https://arxiv.org/abs/2605.23551

    Stable-Baselines3's DQN with Q_g(s, a) for all goals g: the network outputs the values of all goals and actions, the replay
    buffer stores which goals each transition achieved, and each gradient step updates all goals. Achieving goal g ends the
    bootstrap of goal g only.

    :param policy: policy class, or ``"MultiGoalPolicy"``, or one of DQN's aliases (``"MlpPolicy"``, ...), all of which mean
        :class:`~leo_agents.leo_dqn.policies.LEODQNPolicy`
    :param env: multi-goal environment, or its id; without commanded goals (a :class:`~leo_wrappers.sb3.VecGoalSampler` is
        added) or goal-conditioned
    :param learning_rate: learning rate, or a schedule
    :param buffer_size: size of the replay buffer, in transitions
    :param learning_starts: number of environment steps before the first gradient step
    :param batch_size: number of transitions per gradient step
    :param tau: coefficient of the Polyak update of the target network, 1 for hard updates, 0 for none
    :param gamma: discount factor
    :param train_freq: number of (vectorized) environment steps between updates
    :param gradient_steps: number of gradient steps per update, 1 if None; -1 for the number of transitions since the last one,
        0 for no training
    :param replay_buffer_class: :class:`~leo_agents.replay.goal_replay_buffer.GoalReplayBuffer` or a subclass
    :param replay_buffer_kwargs: additional arguments of the replay buffer
    :param optimize_memory_usage: not supported for Dict observations
    :param n_steps: length of the n-step windows; for each goal the window ends where the goal is first achieved
    :param replay_ratio: number of gradient steps per transition, whatever the number of environments, in place of
        ``gradient_steps``
    :param cut_tolerance: with ``n_steps > 1``, end the window of each goal before an action whose value for this goal is lower
        than the best one's by more than this fraction, as in Watkins's Q(lambda); None not to
    :param target_update_freq: number of gradient steps between updates of the target network. DQN's
        ``target_update_interval`` counts environment steps instead
    :param exploration_fraction: fraction of training over which the exploration rate is annealed
    :param exploration_initial_eps: initial probability of a random action
    :param exploration_final_eps: final probability of a random action
    :param exploration_spread: spread of the exploration rate over the parallel environments, as in Ape-X: environment i of N
        has ``rate ** (1 + exploration_spread * i / (N - 1))``; 0 for the same rate everywhere
    :param max_grad_norm: maximum norm of the gradient. 10 as in DQN (LEOPQN has 1 as in the paper)
    :param loss: ``"bce"``, or ``"squared"`` as in the paper; ``"squared"`` for :class:`tasks <leo_wrappers.tasks.TaskSet>`
    :param goals_per_update: number of goals drawn for each gradient step; all goals if None
    :param goal_reduction: ``"mean"`` or ``"sum"`` of the loss over the goals
    :param amp: automatic mixed precision, bfloat16. Only processors with bfloat16 matrix products profit on the CPU
    :param tf32: with CUDA, compute float32 matrix products in TensorFloat-32 while learning: several times as fast, with 10
        bits of mantissa
    :param cuda_graph: with CUDA, run updates as a CUDA graph; None to do so if the optimizer can be captured
    :param head: ``"dense"``; or ``"factored"`` or ``"quasimetric"``, which also take goals by descriptor that were never
        trained on, see :mod:`leo_agents.networks.heads` and :mod:`leo_agents.networks.quasimetric_head`
    :param double_q: double Q-learning: choose the next action by the online network
    :param conservative_weight: weight of the penalty of conservative Q-learning in ``learn_offline``, see
        :meth:`~leo_agents.learning.q_learner.AllGoalsQLearner.conservative_loss`; 0 for none
    :param expectile: use the values of states in ``learn_offline`` that are this expectile, e.g. 0.9, of the values of the
        data's actions, instead of the values of the best of all actions, see
        :meth:`~leo_agents.learning.q_learner.AllGoalsQLearner.in_sample_targets`; None for the best action
    :param goal_selector: how goals are commanded during training: name of a strategy, a goal, a function, or a
        :class:`~leo_wrappers.GoalSelector`; None leaves it to the environment (``"seen"`` with the added
        ``VecGoalSampler``)
    :param log_goals: whether to log the success rate of every goal
    :param stats_window_size: number of episodes of the logged averages
    :param tensorboard_log: TensorBoard log directory
    :param policy_kwargs: additional arguments of the policy
    :param verbose: 0 for no output, 1 for info, 2 for debug messages
    :param seed: seed of all random number generators
    :param device: ``"cpu"``, ``"cuda"`` or ``"auto"``
    :param _init_setup_model: whether to build the network on creation

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> model = LEODQN("MultiGoalPolicy", gym.make("leo/GridWorld-v0"), seed=0).learn(100)
        >>> obs, info = gym.make("leo/GridWorld-v0").reset(seed=0)
        >>> model.act(obs, goal="cell/0,0") in range(4)
        True
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MultiGoalPolicy": LEODQNPolicy,
        "MlpPolicy": LEODQNPolicy,
        "CnnPolicy": LEODQNPolicy,
        "MultiInputPolicy": LEODQNPolicy,
    }
    learns_tasks: ClassVar[bool] = True
    not_saved: ClassVar[tuple[str, ...]] = (*GoalOffPolicyAlgorithm.not_saved, "learner")
    policy: LEODQNPolicy  # type: ignore[assignment]
    q_net: GoalQNetwork  # type: ignore[assignment]
    q_net_target: GoalQNetwork  # type: ignore[assignment]
    learner: AllGoalsQLearner

    def __init__(
        self,
        policy: str | type[LEODQNPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 2e-3,
        buffer_size: int = 1_000_000,
        learning_starts: int = 1_000,
        batch_size: int = 256,
        tau: float = 0.02,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 4,
        gradient_steps: int | None = None,
        replay_buffer_class: type[GoalReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        replay_ratio: float | None = None,
        cut_tolerance: float | None = None,
        target_update_freq: int = 1,
        exploration_fraction: float = 0.2,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.1,
        exploration_spread: float = 0.0,
        max_grad_norm: float = 10.0,
        loss: Literal["bce", "squared"] = "bce",
        goals_per_update: int | None = None,
        goal_reduction: GoalReduction = "mean",
        amp: bool = False,
        tf32: bool = True,
        cuda_graph: bool | None = None,
        head: str = "dense",
        double_q: bool = False,
        conservative_weight: float = 0.0,
        expectile: float | None = None,
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
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            tau=tau,
            gamma=gamma,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            replay_buffer_class=replay_buffer_class,
            # The cut needs all steps of the windows.
            replay_buffer_kwargs={**({} if cut_tolerance is None else {"with_windows": True}), **(replay_buffer_kwargs or {})},
            optimize_memory_usage=optimize_memory_usage,
            n_steps=n_steps,
            replay_ratio=replay_ratio,
            exploration_fraction=exploration_fraction,
            exploration_initial_eps=exploration_initial_eps,
            exploration_final_eps=exploration_final_eps,
            exploration_spread=exploration_spread,
            max_grad_norm=max_grad_norm,
            loss=loss,
            goals_per_update=goals_per_update,
            goal_reduction=goal_reduction,
            amp=amp,
            tf32=tf32,
            cuda_graph=cuda_graph,
            goal_selector=goal_selector,
            log_goals=log_goals,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs={"head": head, **(policy_kwargs or {})},
            verbose=verbose,
            seed=seed,
            device=device,
        )
        self.target_update_freq = target_update_freq
        self.double_q = double_q
        self.cut_tolerance = cut_tolerance
        self.conservative_weight = conservative_weight
        self.expectile = expectile
        if expectile is not None:
            self.policy_kwargs["has_value_net"] = True
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        super()._setup_model()
        self.learner = AllGoalsQLearner(
            self.policy,
            gamma=self.gamma,
            loss=self.loss,
            goal_reduction=self.goal_reduction,
            max_grad_norm=self.max_grad_norm,
            double_q=self.double_q,
            cut_tolerance=self.cut_tolerance,
            amp=self.amp,
            cuda_graph=self.cuda_graph,
            conservative_weight=self.conservative_weight,
            expectile=self.expectile,
        )
        self.finite_checks = self.learner.finite_checks

    def _setup_goals(self) -> None:
        super()._setup_goals()
        num_actions = int(self.action_space.n)
        warn_of_dense_head(self.policy_kwargs["head"], len(self.goal_names), num_actions, self.goals_per_update)

    def _check_options(self) -> None:
        super()._check_options()
        check_integer("target_update_freq", self.target_update_freq, 1)
        if self.cut_tolerance is not None and self.replay_buffer_kwargs["n_steps"] == 1:
            raise ValueError(f"expected n_steps above 1 for cut_tolerance={self.cut_tolerance!r}, got 1; pass e.g. n_steps=5")

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """
        Sample the replay buffer and update all goals.

        :param gradient_steps: number of gradient steps
        :param batch_size: number of transitions per gradient step
        """
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = []
        for _ in range(gradient_steps):
            goals = self._sample_goals()
            batch = self._sample_batch(batch_size)
            losses.append(self.learner.graphed_update_from(batch, goals, self.is_offline))
            self._n_updates += 1
            if self._n_updates % self.target_update_freq == 0:
                self._update_target_network()
        self._log_update({"loss": losses})

    def probe(self, batch_size: int) -> Probe:
        """
        Compute outputs and targets of some transitions without an update.

        :param batch_size: number of transitions, drawn from the replay buffer
        :return: outputs and targets of all goals
        """
        batch = self._sample_batch(batch_size)
        outputs = self.q_net.head.taken(self.q_net.features(batch.observations), batch.actions.long())
        return Probe(outputs, self.learner.targets(batch), self.q_net)

    def _update_target_network(self) -> None:
        with th.no_grad():
            th._foreach_lerp_(list(self.q_net_target.parameters()), list(self.q_net.parameters()), self.tau)
            # Running statistics of normalization layers are copied.
            for statistic, target_statistic in zip(self.q_net.buffers(), self.q_net_target.buffers(), strict=True):
                target_statistic.copy_(statistic)
