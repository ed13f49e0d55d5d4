"""Distill a trained LEO agent into another, smaller network."""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import GymEnv, TensorDict
from stable_baselines3.common.vec_env import VecEnv
from torch.nn import functional as F

from leo_agents.algorithms.env_wrapping import wrap_env
from leo_agents.algorithms.exploration import epsilon_greedy
from leo_agents.baselines.algorithms import NormalizedPPO
from leo_agents.baselines.goal_conditioned import goal_conditioned_venv
from leo_agents.baselines.pqn import PQN
from leo_agents.dual_leo.policies import DualLEOPPOPolicy
from leo_agents.dual_leo.pretrained_teacher import PretrainedTeacher, check_teacher_fits
from leo_agents.learning.optimization import optimizer_step
from leo_agents.learning.policy_data import PolicyAgent
from leo_agents.leo_dqn import LEODQN
from leo_agents.leo_sac import LEOSAC
from leo_agents.leo_td3 import LEOTD3
from leo_agents.networks.continuous_policy import ContinuousGoalPolicy
from leo_agents.networks.goal_descriptors import GoalInput, choose_descriptors
from leo_agents.networks.q_policy import AllGoalsQPolicy
from leo_agents.replay.goal_dataset import GoalDataset
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY
from leo_wrappers.sb3 import VecGoalSampler
from leo_wrappers.validation import check_at_least, check_choice, check_fraction, check_instance, check_integer, check_seed

StudentKind = Literal["leodqn", "leotd3", "pqn", "ppo"]
Teacher = PretrainedTeacher | LEOTD3 | LEOSAC | PolicyAgent
Student = LEODQN | LEOTD3 | PQN | NormalizedPPO
# Rows of a dataset that a gradient step adds to the statistics of the student's observations.
_STATISTICS_ROWS = 64
_POLICY_WEIGHT = 0.1
_TEACHERS = {True: "a LEOPQN or a LEODQN", False: "a LEOTD3 or a LEOSAC of a finite goal set"}


def distill(
    teacher: Teacher,
    student_kind: StudentKind,
    env: GymEnv | None = None,
    *,
    dataset: GoalDataset | None = None,
    steps: int = 5_000,
    batch_size: int = 512,
    buffer_size: int = 50_000,
    epsilon: float = 0.3,
    learning_rate: float = 1e-3,
    goal_input: GoalInput = "descriptor",
    descriptors: npt.ArrayLike | None = None,
    seed: int | None = None,
    **student_kwargs: Any,
) -> Student:
    """
    Train a student, such as a smaller network, to imitate a trained LEO agent.

    The teacher acts in the environments, and each gradient step samples visited states, or states of a dataset. The student
    can be evaluated, saved and trained like any other model.

    - ``"leodqn"``: a :class:`~leo_agents.LEODQN` fits the Q-values of all goals and actions of each state by its own loss, and
      their order by the divergence of the policies that prefer fewer steps; e.g. ``policy_kwargs={"net_arch": [64]}``.
    - ``"leotd3"``: a :class:`~leo_agents.LEOTD3` fits the actions of all goals by the squared error, and their Q-values by its
      own loss.
    - ``"pqn"``: a :class:`~leo_agents.PQN` does so for a uniformly random goal per state.
    - ``"ppo"``: Stable-Baselines3's PPO fits the greedy action of a uniformly random goal per state by cross-entropy and the
      value by the squared error.

    :param teacher: trained LEOPQN or LEODQN, or LEOTD3 or LEOSAC for a ``"leotd3"``, or the agent that ``load_policy`` returns
        for one; it is not changed
    :param student_kind: ``"leodqn"``, ``"leotd3"``, ``"pqn"`` or ``"ppo"``
    :param env: multi-goal environments; the teacher's own if None, which then start new episodes
    :param dataset: sample its states instead of stepping the environments, which provide only spaces and goals
    :param steps: number of gradient steps, with one environment step each
    :param batch_size: number of states per gradient step
    :param buffer_size: number of visited states to keep
    :param epsilon: probability of a random action
    :param learning_rate: learning rate of Adam, annealed linearly to 0
    :param goal_input: input of a ``"pqn"`` or ``"ppo"``, the goal's ``"descriptor"`` or its index ``"one_hot"``
    :param descriptors: a vector per goal ``[G, d]``; those of the environment's goal set if None
    :param seed: seed of all random number generators
    :param student_kwargs: additional arguments of the student; ``gamma`` is the teacher's by default
    :return: the student

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEOPQN, distill
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> teacher = LEOPQN("MultiGoalPolicy", envs, seed=0).learn(4_096)
        >>> student = distill(teacher, "leodqn", steps=10, seed=0, policy_kwargs={"net_arch": [32]})
        >>> student.act(envs.unwrapped.all_observations()[0], "cell/0,0") in range(4)
        True
    """
    check_choice("student_kind", student_kind, get_args(StudentKind))
    _check_teacher(teacher, student_kind)
    for name, value in (("steps", steps), ("batch_size", batch_size), ("buffer_size", buffer_size)):
        check_integer(name, value, 1)
    check_fraction("epsilon", epsilon)
    check_at_least("learning_rate", learning_rate, 0)
    check_seed(seed)
    if dataset is not None:
        check_instance("dataset", dataset, GoalDataset, "create one with GoalDataset.from_arrays or GoalDataset.load")
    envs = _environments(teacher, env)
    student_kwargs = {"gamma": teacher.gamma, **student_kwargs, "device": teacher.device, "seed": seed}
    student = _make_student(student_kind, envs, goal_input, descriptors, buffer_size, **student_kwargs)
    venv = student.get_env()
    assert venv is not None
    names = tuple(venv.get_attr("goal_names", 0)[0])
    check_teacher_fits(teacher, names, student.observation_space, student.action_space)
    states: _DatasetStates | _VisitedStates
    if dataset is None:
        states = _VisitedStates(teacher, venv, buffer_size, epsilon)
    else:
        dataset.check_matches(student.observation_space, student.action_space, names)  # type: ignore[arg-type]
        states = _DatasetStates(dataset, teacher.device)
    _imitate(student, teacher, states, steps, batch_size, learning_rate)
    return student


def _check_teacher(teacher: Any, student_kind: StudentKind) -> None:
    """Raise a ``TypeError`` unless a teacher has values of all goals, and actions of the student's kind."""
    is_discrete, policy = student_kind != "leotd3", getattr(teacher, "policy", None)
    if not isinstance(policy, AllGoalsQPolicy if is_discrete else ContinuousGoalPolicy) or not policy.goal_names:
        found = type(policy if isinstance(teacher, PolicyAgent) else teacher).__name__
        raise TypeError(f"expected {_TEACHERS[is_discrete]} as teacher of a {student_kind!r}, got {found}; pass a trained one")


def _imitate(
    student: Student,
    teacher: Teacher,
    states: "_VisitedStates | _DatasetStates",
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    optimizer = th.optim.Adam(student.policy.parameters(), lr=learning_rate)
    schedule = th.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    student.policy.set_training_mode(True)
    teacher.policy.set_training_mode(False)
    for _ in range(steps):
        student._update_normalizers(states.newest)
        student._refresh_normalizers()
        states.step()
        optimizer_step(optimizer, _imitation_loss(teacher.policy, student, states.sample(batch_size)))
        schedule.step()
    student.policy.set_training_mode(False)
    for name in ("q_net", "actor", "critic"):
        target = getattr(student.policy, f"{name}_target", None)
        if target is not None:
            target.load_state_dict(getattr(student.policy, name).state_dict())


class _VisitedStates:
    """The newest states visited by a teacher that acts epsilon-greedily for the commanded goals."""

    def __init__(self, teacher: Teacher, env: VecEnv, size: int, epsilon: float) -> None:
        self.teacher, self.env, self.epsilon = teacher, env, epsilon
        obs: Any = env.reset()
        self.newest = obs
        states = {key: th.as_tensor(value) for key, value in obs.items() if key not in GOAL_INPUT_KEYS}
        self.states = {key: value.new_zeros(size, *value.shape[1:]).to(teacher.device) for key, value in states.items()}
        self.size, self.num_added = size, 0

    def step(self) -> None:
        """Store the current states and take one step in all environments."""
        rows = th.arange(self.num_added, self.num_added + self.env.num_envs, device=self.teacher.device) % self.size
        for key, states in self.states.items():
            states[rows] = th.as_tensor(self.newest[key], device=self.teacher.device)
        self.num_added += self.env.num_envs
        actions, _ = self.teacher.policy.predict(self.newest, deterministic=True)
        space = self.env.action_space
        if isinstance(space, spaces.Discrete):
            actions = epsilon_greedy(actions, int(space.n), self.epsilon)
        elif isinstance(space, spaces.Box):
            is_random = np.random.random(len(actions)) < self.epsilon
            actions[is_random] = np.random.uniform(space.low, space.high, actions[is_random].shape)
        self.newest, *_ = self.env.step(actions)

    def sample(self, count: int) -> TensorDict:
        """Return uniformly drawn states."""
        rows = th.randint(min(self.num_added, self.size), (count,), device=self.teacher.device)
        return {key: states[rows] for key, states in self.states.items()}


class _DatasetStates:
    """The states of a dataset."""

    def __init__(self, dataset: GoalDataset, device: th.device) -> None:
        self.observations, self.size, self.device = dataset.observations, len(dataset), device
        self.step()

    def step(self) -> None:
        """Draw other observations for the statistics of the student."""
        rows = np.random.randint(self.size, size=min(self.size, _STATISTICS_ROWS))
        self.newest = {key: array[rows] for key, array in self.observations.items()}

    def sample(self, count: int) -> TensorDict:
        """Return uniformly drawn states."""
        rows = np.random.randint(self.size, size=count)
        return {key: th.as_tensor(array[rows], device=self.device) for key, array in self.observations.items()}


def _environments(teacher: Teacher, env: GymEnv | None) -> VecEnv:
    """Return the environments without the teacher's ``VecGoalSampler``, whose statistics must not change."""
    if env is not None:
        return wrap_env(env)
    if isinstance(teacher, PolicyAgent) or teacher.env is None:
        raise ValueError("expected environments to visit states in, got none; pass env")
    # If the teacher is trained further, it starts with new episodes.
    teacher._last_obs = None  # type: ignore[assignment]
    return teacher.env.venv if isinstance(teacher.env, VecGoalSampler) else teacher.env


def _make_student(
    kind: StudentKind,
    env: VecEnv,
    goal_input: GoalInput,
    descriptors: npt.ArrayLike | None,
    buffer_size: int,
    policy_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Student:
    if kind == "leodqn":
        return LEODQN("MultiGoalPolicy", env, buffer_size=buffer_size, policy_kwargs=policy_kwargs, **kwargs)
    if kind == "leotd3":
        return LEOTD3("MultiGoalPolicy", env, buffer_size=buffer_size, policy_kwargs=policy_kwargs, **kwargs)
    table = choose_descriptors(env, goal_input, descriptors)
    policy_kwargs = {"descriptors": None if table is None else np.asarray(table).tolist(), **(policy_kwargs or {})}
    if kind == "pqn":
        return PQN("GoalInputPolicy", env, policy_kwargs=policy_kwargs, **kwargs)
    venv = goal_conditioned_venv(env)
    policy_kwargs["goal_names"] = tuple(venv.get_attr("goal_names", 0)[0])
    return NormalizedPPO(DualLEOPPOPolicy, venv, policy_kwargs=policy_kwargs, **kwargs)


def _imitation_loss(teacher: Any, student: Student, obs: TensorDict) -> th.Tensor:
    """Compute the loss of a student for some states, with the policy of the teacher."""
    if isinstance(student, LEOTD3):
        return _actor_critic_loss(teacher, student, obs)
    if isinstance(student, LEODQN):
        goals = student._sample_goals()
        with th.no_grad():
            q_values = teacher.q_net.values(teacher.q_net.head(teacher.q_net.features(obs), goals))
        return _q_loss(student, student.q_net.head(student.q_net.features(obs), goals), q_values)
    batch_size = len(next(iter(obs.values())))
    goal_ids = th.randint(len(teacher.goal_names), (batch_size,), device=teacher.device)
    with th.no_grad():
        q_values = teacher.q_net.values(teacher.q_net.goal_outputs(obs, goal_ids))
    if isinstance(student, PQN):
        return _q_loss(student, student.q_net.goal_outputs(obs, goal_ids), q_values)
    values, log_prob, _ = student.policy.evaluate_actions({**obs, GOAL_KEY: goal_ids.unsqueeze(1)}, q_values.argmax(dim=1))
    return F.mse_loss(values.flatten(), q_values.amax(dim=1)) - log_prob.mean()


def _actor_critic_loss(teacher: ContinuousGoalPolicy, student: LEOTD3, obs: TensorDict) -> th.Tensor:
    goals = student._sample_goals()
    with th.no_grad():
        actions = teacher.actor.best(obs, goals)
        # Critics compute all goals for one action per state: that of a random goal.
        rows = th.arange(len(actions), device=actions.device)
        taken = actions[rows, th.randint(actions.shape[1], rows.shape, device=actions.device)]
        q_values = teacher.critic.values(th.stack(teacher.critic.taken(obs, taken, goals)).amin(dim=0))
    critic = student.critic
    losses = [_value_loss(student.loss, critic, outputs, q_values) for outputs in critic.taken(obs, taken, goals)]
    return F.mse_loss(student.actor.best(obs, goals), actions) + th.stack(losses).sum()


def _q_loss(student: LEODQN | PQN, outputs: th.Tensor, q_values: th.Tensor) -> th.Tensor:
    """Compute the loss of Q-values, with the actions in the last dimension."""
    # Actions differ by a factor of gamma, too little for a small network to fit: their order is a loss of its own, the
    # divergence between policies for which an action is e times as likely as one that needs a step more.
    policy, teacher_policy = (
        F.log_softmax(values.clamp(1e-6, 1.0).log() / max(1.0 - student.gamma, 0.01), dim=-1)
        for values in (student.q_net.values(outputs), q_values)
    )
    divergence = F.kl_div(policy, teacher_policy, log_target=True, reduction="none").sum(dim=-1).mean()
    return _value_loss(student.loss, student.q_net, outputs, q_values) + _POLICY_WEIGHT * divergence


def _value_loss(loss: str, network: Any, outputs: th.Tensor, q_values: th.Tensor) -> th.Tensor:
    if loss == "bce":
        return F.binary_cross_entropy_with_logits(outputs, q_values.clamp(0.0, 1.0))
    return 0.5 * F.mse_loss(network.values(outputs), q_values)
