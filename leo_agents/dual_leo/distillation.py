"""Distill a trained LEO agent into a network with the goal as input."""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.type_aliases import GymEnv, TensorDict
from stable_baselines3.common.vec_env import VecEnv
from torch.nn import functional as F

from leo_agents.algorithms.env_wrapping import wrap_env
from leo_agents.algorithms.exploration import epsilon_greedy
from leo_agents.baselines.algorithms import NormalizedPPO
from leo_agents.baselines.goal_conditioned import goal_conditioned_venv
from leo_agents.baselines.pqn import PQN
from leo_agents.dual_leo.policies import DualLEOPPOPolicy
from leo_agents.dual_leo.pretrained_teacher import PretrainedTeacher, check_teacher_fits, check_teacher_kind
from leo_agents.learning.optimization import optimizer_step
from leo_agents.networks.goal_descriptors import GoalInput, choose_descriptors
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY
from leo_wrappers.sb3 import VecGoalSampler
from leo_wrappers.validation import check_at_least, check_choice, check_fraction, check_integer, check_seed

StudentKind = Literal["pqn", "ppo"]


def distill(
    teacher: PretrainedTeacher,
    student_kind: StudentKind,
    env: GymEnv | None = None,
    *,
    steps: int = 5_000,
    batch_size: int = 512,
    buffer_size: int = 50_000,
    epsilon: float = 0.3,
    learning_rate: float = 1e-3,
    goal_input: GoalInput = "descriptor",
    descriptors: npt.ArrayLike | None = None,
    seed: int | None = None,
    **student_kwargs: Any,
) -> PQN | NormalizedPPO:
    """
    Train a student with the goal as input to imitate a trained LEO agent.

    The teacher acts in the environments; each gradient step samples visited states and a uniformly random goal for each. A
    ``"pqn"`` student fits the Q-values of all actions by its own loss, a ``"ppo"`` student the greedy action by cross-entropy
    and the value by the squared error. The student can be evaluated, saved and trained like any other model.

    :param teacher: trained LEOPQN or LEODQN; it is not changed
    :param student_kind: ``"pqn"`` for a :class:`~leo_agents.baselines.pqn.PQN`, ``"ppo"`` for Stable-Baselines3's PPO
    :param env: multi-goal environments; the teacher's own if None, which then start new episodes
    :param steps: number of gradient steps, with one environment step each
    :param batch_size: number of states per gradient step
    :param buffer_size: number of visited states to keep
    :param epsilon: probability of a random action
    :param learning_rate: learning rate of Adam, annealed linearly to 0
    :param goal_input: input of the student, the goal's ``"descriptor"`` or its index ``"one_hot"``
    :param descriptors: a vector per goal ``[G, d]``; those of the environment's goal set if None
    :param seed: seed of all random number generators
    :param student_kwargs: additional arguments of the student
    :return: the student

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEOPQN, distill
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> teacher = LEOPQN("MultiGoalPolicy", envs, seed=0).learn(4_096)
        >>> distill(teacher, "pqn", steps=10, seed=0).act(envs.unwrapped.all_observations()[0], "cell/0,0") in range(4)
        True
    """
    check_teacher_kind(teacher)
    check_choice("student_kind", student_kind, get_args(StudentKind))
    for name, value in (("steps", steps), ("batch_size", batch_size), ("buffer_size", buffer_size)):
        check_integer(name, value, 1)
    check_fraction("epsilon", epsilon)
    check_at_least("learning_rate", learning_rate, 0)
    check_seed(seed)
    student = _make_student(
        student_kind, _environments(teacher, env), goal_input, descriptors, device=teacher.device, seed=seed, **student_kwargs
    )
    venv = student.get_env()
    assert venv is not None
    check_teacher_fits(teacher, tuple(venv.get_attr("goal_names", 0)[0]), student.observation_space, student.action_space)
    _imitate(student, teacher, _VisitedStates(teacher, venv, buffer_size, epsilon), steps, batch_size, learning_rate)
    return student


def _imitate(
    student: PQN | NormalizedPPO,
    teacher: PretrainedTeacher,
    visited: "_VisitedStates",
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    optimizer = th.optim.Adam(student.policy.parameters(), lr=learning_rate)
    schedule = th.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    student.policy.set_training_mode(True)
    for _ in range(steps):
        student._update_normalizers(visited.obs)
        student._refresh_normalizers()
        visited.step()
        goal_ids = th.randint(len(teacher.goal_names), (batch_size,), device=teacher.device)
        optimizer_step(optimizer, _imitation_loss(teacher, student, visited.sample(batch_size), goal_ids))
        schedule.step()
    student.policy.set_training_mode(False)


class _VisitedStates:
    """The newest states visited by a teacher that acts epsilon-greedily for the commanded goals."""

    def __init__(self, teacher: PretrainedTeacher, env: VecEnv, size: int, epsilon: float) -> None:
        self.teacher, self.env, self.epsilon = teacher, env, epsilon
        obs: Any = env.reset()
        self.obs = obs
        states = {key: th.as_tensor(value) for key, value in obs.items() if key not in GOAL_INPUT_KEYS}
        self.states = {key: value.new_zeros(size, *value.shape[1:]).to(teacher.device) for key, value in states.items()}
        self.size, self.num_added = size, 0

    def step(self) -> None:
        """Store the current states and take one step in all environments."""
        rows = th.arange(self.num_added, self.num_added + self.env.num_envs, device=self.teacher.device) % self.size
        for key, states in self.states.items():
            states[rows] = th.as_tensor(self.obs[key], device=self.teacher.device)
        self.num_added += self.env.num_envs
        greedy_actions, _ = self.teacher.policy.predict(self.obs, deterministic=True)
        num_actions = int(self.env.action_space.n)  # type: ignore[attr-defined]
        self.obs, *_ = self.env.step(epsilon_greedy(greedy_actions, num_actions, self.epsilon))

    def sample(self, count: int) -> TensorDict:
        """Return uniformly drawn states."""
        rows = th.randint(min(self.num_added, self.size), (count,), device=self.teacher.device)
        return {key: states[rows] for key, states in self.states.items()}


def _environments(teacher: PretrainedTeacher, env: GymEnv | None) -> VecEnv:
    """Return the environments without the teacher's ``VecGoalSampler``, whose statistics must not change."""
    if env is not None:
        return wrap_env(env)
    if teacher.env is None:
        raise ValueError("expected environments to visit states in, got none; pass env")
    # If the teacher is trained further, it starts with new episodes.
    teacher._last_obs = None  # type: ignore[assignment]
    return teacher.env.venv if isinstance(teacher.env, VecGoalSampler) else teacher.env


def _make_student(
    kind: StudentKind,
    env: VecEnv,
    goal_input: GoalInput,
    descriptors: npt.ArrayLike | None,
    policy_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> PQN | NormalizedPPO:
    table = choose_descriptors(env, goal_input, descriptors)
    policy_kwargs = {"descriptors": None if table is None else np.asarray(table).tolist(), **(policy_kwargs or {})}
    if kind == "pqn":
        return PQN("GoalInputPolicy", env, policy_kwargs=policy_kwargs, **kwargs)
    venv = goal_conditioned_venv(env)
    policy_kwargs["goal_names"] = tuple(venv.get_attr("goal_names", 0)[0])
    return NormalizedPPO(DualLEOPPOPolicy, venv, policy_kwargs=policy_kwargs, **kwargs)


def _imitation_loss(
    teacher: PretrainedTeacher, student: PQN | NormalizedPPO, obs: TensorDict, goal_ids: th.Tensor
) -> th.Tensor:
    with th.no_grad():
        teacher.policy.set_training_mode(False)
        q_values = teacher.q_net.values(teacher.q_net.goal_outputs(obs, goal_ids))
    if isinstance(student, PQN):
        outputs = student.q_net.goal_outputs(obs, goal_ids)
        if student.loss == "bce":
            return F.binary_cross_entropy_with_logits(outputs, q_values.clamp(0.0, 1.0))
        return 0.5 * F.mse_loss(student.q_net.values(outputs), q_values)
    values, log_prob, _ = student.policy.evaluate_actions({**obs, GOAL_KEY: goal_ids.unsqueeze(1)}, q_values.argmax(dim=1))
    return F.mse_loss(values.flatten(), q_values.amax(dim=1)) - log_prob.mean()
