"""LEOPQN: Q-learning of all goals from rollouts of parallel environments."""

from typing import Any, ClassVar

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from leo_agents.algorithms.on_policy_algorithm import GoalOnPolicyAlgorithm
from leo_agents.learning.losses import GoalReduction, LossName, check_loss_options
from leo_agents.learning.probe import Probe
from leo_agents.learning.q_learner import check_goals_per_update
from leo_agents.learning.rollout_q_learner import RolloutQLearner
from leo_agents.leo_pqn.policies import LEOPQNPolicy
from leo_agents.networks.heads import warn_of_dense_head
from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer
from leo_wrappers.selection import GoalSelectorLike


class LEOPQN(GoalOnPolicyAlgorithm):
    """
    Learning Everything all at Once (LEO) as in the paper: parallel Q-learning without replay buffer and target network.
    Paper: https://arxiv.org/abs/2605.23551

    N environments act for T steps, each for its own commanded goal. The targets of all goals are computed once per rollout, by
    the network that acted, from the true next states; then ``n_epochs`` of minibatch updates follow, and the rollout is
    discarded. Achieving goal g ends the bootstrap of goal g only.

    :param policy: policy class, or ``"MultiGoalPolicy"``, ``"MlpPolicy"``, ``"CnnPolicy"`` or ``"MultiInputPolicy"``, all of
        which mean :class:`~leo_agents.leo_pqn.policies.LEOPQNPolicy`
    :param env: parallel multi-goal environments; without commanded goals (a :class:`~leo_wrappers.sb3.VecGoalSampler` is
        added) or goal-conditioned
    :param learning_rate: learning rate, or a schedule; if None annealed linearly to 0, from 1e-3 (2e-4 in paper mode)
    :param n_steps: number of steps per environment and rollout, T
    :param batch_size: number of transitions in a minibatch
    :param n_epochs: number of epochs per rollout; 4 if None (2 in paper mode)
    :param gamma: discount factor
    :param q_lambda: lambda of the Q(lambda) targets; 0 for one-step targets
    :param cut_tolerance: with ``q_lambda > 0``, end the trace of each goal before an action whose value for this goal is lower
        than the best one's by more than this fraction, as in Watkins's Q(lambda); None not to
    :param exploration_fraction: fraction of training over which the exploration rate is annealed
    :param exploration_initial_eps: initial probability of a random action; 1 if None (0.2 in paper mode)
    :param exploration_final_eps: final probability of a random action; 0.1 if None (0.01 in paper mode)
    :param exploration_spread: spread of the exploration rate over the parallel environments, as in Ape-X: environment i of N
        has ``rate ** (1 + exploration_spread * i / (N - 1))``; 0 for the same rate everywhere
    :param max_grad_norm: maximum norm of the gradient. 1 as in the paper (LEODQN has 10 as DQN)
    :param loss: ``"bce"`` or ``"squared"``; ``"bce"`` if None (``"squared"`` in paper mode, and for
        :class:`tasks <leo_wrappers.tasks.TaskSet>`)
    :param goals_per_update: number of goals drawn for each rollout; all goals if None
    :param goal_reduction: ``"mean"`` or ``"sum"`` of the loss over the goals
    :param amp: automatic mixed precision, bfloat16. Only processors with bfloat16 matrix products profit on the CPU
    :param tf32: with CUDA, compute float32 matrix products in TensorFloat-32 while learning: several times as fast, with 10
        bits of mantissa
    :param cuda_graph: with CUDA, run updates as a CUDA graph; None to do so if the optimizer can be captured
    :param head: ``"dense"``; or ``"factored"`` or ``"quasimetric"``, which also take goals by descriptor that were never
        trained on, see :mod:`leo_agents.networks.heads` and :mod:`leo_agents.networks.quasimetric_head`
    :param paper_mode: use the paper's settings for all arguments that are None, its network (4 x 1024, batch renormalization
        of the input) and its goal selection (uniform over the goals seen before the rollout). Unlike in the official code,
        masks and next states are those before a reset, time limits bootstrap, and every state counts as seen
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
        >>> from leo_agents import LEOPQN
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> model = LEOPQN("MultiGoalPolicy", envs, seed=0).learn(4_096)
        >>> obs, info = gym.make("leo/GridWorld-v0").reset(seed=0)
        >>> model.act(obs, goal="cell/0,0") in range(4)
        True
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MultiGoalPolicy": LEOPQNPolicy,
        "MlpPolicy": LEOPQNPolicy,
        "CnnPolicy": LEOPQNPolicy,
        "MultiInputPolicy": LEOPQNPolicy,
    }
    learns_tasks: ClassVar[bool] = True
    not_saved: ClassVar[tuple[str, ...]] = ("learner",)
    policy: LEOPQNPolicy
    learner: RolloutQLearner

    def __init__(
        self,
        policy: str | type[LEOPQNPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule | None = None,
        n_steps: int = 32,
        batch_size: int = 512,
        n_epochs: int | None = None,
        gamma: float = 0.99,
        q_lambda: float = 0.0,
        cut_tolerance: float | None = None,
        exploration_fraction: float = 0.2,
        exploration_initial_eps: float | None = None,
        exploration_final_eps: float | None = None,
        exploration_spread: float = 0.0,
        max_grad_norm: float = 1.0,
        loss: LossName | None = None,
        goals_per_update: int | None = None,
        goal_reduction: GoalReduction = "mean",
        amp: bool = False,
        tf32: bool = True,
        cuda_graph: bool | None = None,
        head: str = "dense",
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
            policy_kwargs={"head": head, **(policy_kwargs or {})},
            verbose=verbose,
            seed=seed,
            device=device,
        )
        self.cut_tolerance = cut_tolerance
        self.goals_per_update = goals_per_update
        self.goal_reduction: GoalReduction = goal_reduction
        if _init_setup_model:
            self._setup_model()

    @property
    def q_net(self) -> GoalQNetwork:
        """The Q-network."""
        return self.policy.q_net

    def _setup_model(self) -> None:
        super()._setup_model()
        self.learner = RolloutQLearner(
            self.policy,
            n_epochs=self.n_epochs,
            batch_size=self.minibatch_size,
            q_lambda=self.q_lambda,
            cut_tolerance=self.cut_tolerance,
            goals_per_update=self.goals_per_update,
            gamma=self.gamma,
            loss=self.loss,
            goal_reduction=self.goal_reduction,
            max_grad_norm=self.max_grad_norm,
            amp=self.amp,
            cuda_graph=self.cuda_graph,
            task_discounts=self.task_discounts,
        )

    def _setup_goals(self) -> None:
        super()._setup_goals()
        num_goals = len(self.goal_names)
        check_goals_per_update(self.goals_per_update, num_goals)
        warn_of_dense_head(self.policy_kwargs["head"], num_goals, int(self.action_space.n), self.goals_per_update)

    def _check_options(self) -> None:
        super()._check_options()
        check_loss_options(self.loss, self.policy_kwargs.get("squash", True), self.goal_reduction)
        if self.cut_tolerance is not None and self.q_lambda == 0.0:
            raise ValueError(
                f"expected q_lambda above 0 for cut_tolerance={self.cut_tolerance!r}, got 0; pass e.g. q_lambda=0.9"
            )

    def _start_rollout(self) -> None:
        self.learner.start_rollout()

    def _acting_outputs(self, rollout: GoalRolloutBuffer) -> th.Tensor:
        return self.learner.acting_outputs(rollout)

    def train(self) -> None:
        """Compute the targets of all goals once, then run ``n_epochs`` of minibatch updates."""
        self._update_learning_rate(self.policy.optimizer)
        goals = self.learner.sample_goals()
        targets = self.learner.rollout_targets(self.rollout_buffer, goals)
        losses = self.learner.fit(self.rollout_buffer, targets, goals)
        self._log_update(losses)

    def probe(self, batch_size: int) -> Probe:
        """
        Compute outputs and targets of some transitions without an update.

        :param batch_size: number of transitions, drawn from the last rollout; all of it if it has fewer
        :return: outputs and targets of all goals
        """
        rollout, q_net = self.rollout_buffer, self.learner.q_net
        targets = self.learner.rollout_targets(rollout)
        rows = th.randperm(len(targets), device=targets.device)[:batch_size]
        outputs = q_net.head.taken(q_net.features(rollout.observations(rows)), rollout.actions.flatten()[rows].long())
        return Probe(outputs, targets[rows], q_net)
