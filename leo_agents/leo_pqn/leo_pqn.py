"""LEOPQN: Q-learning about every goal from rollouts of many environments at once."""

from typing import Any, ClassVar

import torch as th
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule

from leo_agents.algorithms.on_policy_algorithm import GoalOnPolicyAlgorithm, LossName
from leo_agents.learning.losses import LOSSES, GoalReduction, all_goals_targets, check_finite_goals, lambda_goals_targets
from leo_agents.leo_pqn.policies import MultiGoalPolicy
from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.replay.goal_rollout_buffer import GoalRolloutBuffer
from leo_wrappers.selection import GoalSelectorLike

# Next states whose values are computed at a time: enough for each use of the head's weights, few enough to stay in cache.
TARGET_ROWS = 2048


class LEOPQN(GoalOnPolicyAlgorithm):
    """
    The paper's LEO (https://arxiv.org/abs/2605.23551): Learning Everything all at Once in many parallel environments, with
    neither replay nor target network.

    N environments act for T steps, each for its own goal. Then every transition is about all goals: the value of its true next
    state, computed once by the network that acted, says what the heads should have said about the action taken, and some
    epochs of minibatches teach it. Achieving a goal ends the bootstrap of that goal alone.

    :param policy: ``"MultiGoalPolicy"``, a class like it, or one of Stable-Baselines3's names, which mean the same here
    :param env: multi-goal environments: a vector of many, bare (goals are then commanded by a
        :class:`~leo_wrappers.sb3.VecGoalSampler`) or goal-conditioned
    :param learning_rate: a number or a schedule; when None it falls linearly from 1e-3 (in paper mode 2e-4) to 0
    :param n_steps: T
    :param batch_size: number of transitions in a gradient step; each is about all goals
    :param n_epochs: how often each transition is learned from; 4 when None (in paper mode 2)
    :param gamma: discount
    :param q_lambda: share of the return in the targets, as in Q(lambda); 0 for one-step targets
    :param exploration_fraction: share of the training over which exploration falls
    :param exploration_initial_eps: share of random actions at the start; 1 when None (in paper mode 0.2)
    :param exploration_final_eps: share of random actions in the end; 0.1 when None (in paper mode 0.01)
    :param max_grad_norm: gradients are clipped to this norm
    :param head: ``"dense"`` or ``"factored"``, see :mod:`leo_agents.networks.heads`
    :param loss: ``"bce"`` or ``"squared"``; ``"bce"`` when None (in paper mode ``"squared"``)
    :param goals_per_update: learn about this many goals from each rollout, drawn anew for each; about all when None
    :param goal_reduction: ``"mean"`` over the goals, or ``"sum"``
    :param amp: compute in bfloat16 where it is safe
    :param paper_mode: as the paper wherever an argument is left at None; its network (4 x 1024, normalised input) unless
        ``policy_kwargs`` say otherwise; goals uniform over those seen before the rollout. What is mended: masks and next
        states are those before a reset, time limits bootstrap, and no state is left out of what was seen
    :param goal_selector: how goals are commanded in training: a strategy's name, a goal, a function or a
        :class:`~leo_wrappers.GoalSelector`; None leaves it to the environment (``"seen"`` for a bare one)
    :param log_goals: log a success rate for every goal, not only aggregates
    :param stats_window_size: number of episodes that the logged averages are about
    :param tensorboard_log: where to log for TensorBoard
    :param policy_kwargs: further arguments of the policy, see :class:`~leo_agents.leo_pqn.policies.MultiGoalPolicy`
    :param verbose: 0 for silence, 1 for information, 2 for more
    :param seed: seeds everything random
    :param device: ``"cpu"``, ``"cuda"`` or ``"auto"``
    :param _init_setup_model: build the network at once

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
        "MultiGoalPolicy": MultiGoalPolicy,
        "MlpPolicy": MultiGoalPolicy,
        "CnnPolicy": MultiGoalPolicy,
        "MultiInputPolicy": MultiGoalPolicy,
    }
    transient: ClassVar[tuple[str, ...]] = ("_features",)
    policy: MultiGoalPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[MultiGoalPolicy],
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
        head: str = "dense",
        loss: LossName | None = None,
        goals_per_update: int | None = None,
        goal_reduction: GoalReduction = "mean",
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
        self.goals_per_update = goals_per_update
        self.goal_reduction: GoalReduction = goal_reduction
        # Of the states in which the rollout's actions were chosen: the same states' values are needed for the targets.
        self._features: list[th.Tensor] = []
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
            policy_kwargs={"head": head, **(policy_kwargs or {})},
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )

    @property
    def q_net(self) -> GoalQNetwork:
        """The network."""
        return self.policy.q_net

    def _begin_rollout(self) -> None:
        self._features = []

    def _scores(self, rollout: GoalRolloutBuffer) -> th.Tensor:
        features = self.q_net.features(rollout.shown())
        self._features.append(features)
        return self.q_net.head.for_goals(features, rollout.goals[rollout.step])

    def _lesson(self, rollout: GoalRolloutBuffer) -> tuple[th.Tensor | None, th.Tensor]:
        """The goals that the rollout is to teach about (None for all), and their targets ``[T * N, K]``."""
        goals = None
        if self.goals_per_update is not None:
            goals = th.randperm(len(self.goal_names), device=self.device)[: self.goals_per_update]
        return goals, self._targets(rollout, goals)

    def _targets(self, rollout: GoalRolloutBuffer, goals: th.Tensor | None) -> th.Tensor:
        with th.no_grad(), self._autocast():
            next_values = self._next_values(rollout, goals)
        masks = rollout.masks()
        achieved = masks if goals is None else masks.index_select(1, goals)
        if self.q_lambda == 0.0:
            return all_goals_targets(achieved, next_values, rollout.terminated.flatten(), self.gamma)
        grid = (rollout.num_steps, rollout.num_envs, -1)
        achieved, next_values = achieved.view(grid), next_values.view(grid)
        targets = lambda_goals_targets(achieved, next_values, rollout.terminated, rollout.done, self.gamma, self.q_lambda)
        return targets.flatten(0, 1)

    def _next_values(self, rollout: GoalRolloutBuffer, goals: th.Tensor | None) -> th.Tensor:
        """The value of each transition's true next state for each goal ``[T * N, K]``, by the network that acted."""
        network = self.q_net
        parts = [*self._features, network.features(rollout.shown())]
        ended, last_states = rollout.ended()
        if len(ended):
            parts.append(network.features(last_states))
        features = th.cat(parts)
        values = [
            network.values(network.head.max_over_actions(features.index_select(0, rows), goals).float())
            for rows in th.split(rollout.next_rows(), TARGET_ROWS)
        ]
        return th.cat(values)

    def _loss(self, rollout: GoalRolloutBuffer, rows: th.Tensor, lesson: tuple[th.Tensor | None, th.Tensor]) -> th.Tensor:
        goals, targets = lesson[0], lesson[1].index_select(0, rows)
        actions = rollout.actions.flatten().index_select(0, rows)
        with self._autocast():
            outputs = self.q_net.head.taken(self.q_net.features(rollout.states(rows)), actions, goals).float()
        predictions = outputs if self.loss == "bce" else self.q_net.values(outputs)
        loss = LOSSES[self.loss](predictions, targets, goal_reduction=self.goal_reduction)
        if not th.isfinite(loss):
            names = self.goal_names if goals is None else [self.goal_names[goal] for goal in goals.tolist()]
            check_finite_goals(predictions, targets, names, self.num_timesteps)
        return loss

    def _check_options(self) -> None:
        super()._check_options()
        if self.goal_reduction not in ("mean", "sum"):
            raise ValueError(f'expected goal_reduction "mean" or "sum", got {self.goal_reduction!r}')

    def _bind_goals(self) -> None:
        super()._bind_goals()
        num_goals = len(self.goal_names)
        if self.goals_per_update is not None and not 1 <= self.goals_per_update <= num_goals:
            raise ValueError(f"expected goals_per_update from 1 to {num_goals}, got {self.goals_per_update}")
