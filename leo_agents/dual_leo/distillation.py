"""From a finished agent that knows all goals at once to a small one that reads the goal."""

from typing import Any, Literal, get_args

import numpy as np
import torch as th
from gymnasium.vector import VectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, TensorDict
from stable_baselines3.common.vec_env import VecEnv
from torch.nn import functional as F

from leo_agents.baselines.goal_conditioned import goal_conditioned_venv
from leo_agents.dual_leo.policies import TaughtActorCriticPolicy
from leo_agents.dual_leo.teacher import FinishedTeacher, check_finished, check_kind
from leo_agents.leo_pqn import PQN
from leo_agents.networks.goal_descriptors import GoalInput, choose_descriptors
from leo_agents.networks.policies import explore
from leo_wrappers.keys import GOAL_INPUT_KEYS, GOAL_KEY
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler

StudentKind = Literal["pqn", "ppo"]


def distill(
    teacher: FinishedTeacher,
    student_kind: StudentKind,
    env: GymEnv | None = None,
    *,
    steps: int = 5_000,
    batch_size: int = 512,
    memory: int = 50_000,
    exploration: float = 0.3,
    learning_rate: float = 1e-3,
    goal_input: GoalInput = "descriptor",
    descriptors: Any = None,
    seed: int | None = None,
    **student_kwargs: Any,
) -> PQN | PPO:
    """
    A student that reads the goal and does what a finished LEO agent does.

    The teacher acts in the environments, and each gradient step takes states from what it met, each with a goal drawn from
    all of them. A ``"pqn"`` student learns the values of all actions by cross-entropy, a ``"ppo"`` student the best action
    and its value. Both can be evaluated, saved and trained on as any other.

    :param teacher: the finished agent; stays as it is
    :param student_kind: ``"pqn"`` for a :class:`~leo_agents.leo_pqn.PQN`, ``"ppo"`` for Stable-Baselines3's PPO
    :param env: multi-goal environments; the teacher's own when None, which then begin new episodes
    :param steps: number of gradient steps; the environments take one step for each
    :param batch_size: number of states in a gradient step
    :param memory: number of states that are remembered
    :param exploration: share of random actions while states are met
    :param learning_rate: of the imitation, with Adam; falls linearly to 0
    :param goal_input: give the student the goal's ``"descriptor"``, or its number ``"one_hot"``
    :param descriptors: a vector per goal ``[num_goals, d]``; taken from the environment's goal set when None
    :param seed: seeds everything random
    :param student_kwargs: further arguments of the student
    :return: the student

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEOPQN, distill
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=64, autoreset_mode="SameStep")
        >>> teacher = LEOPQN("MultiGoalPolicy", envs, seed=0).learn(4_096)
        >>> distill(teacher, "pqn", steps=10, seed=0).act(envs.unwrapped.all_observations()[0], "cell/0,0") in range(4)
        True
    """
    check_kind(teacher)
    if student_kind not in get_args(StudentKind):
        raise ValueError(f"expected student_kind to be one of {get_args(StudentKind)}, got {student_kind!r}")
    for name, value in (("steps", steps), ("batch_size", batch_size), ("memory", memory)):
        if value < 1:
            raise ValueError(f"expected {name} of at least 1, got {value}")
    student = _make_student(
        student_kind, _environments(teacher, env), goal_input, descriptors, device=teacher.device, seed=seed, **student_kwargs
    )
    venv = student.get_env()
    assert venv is not None
    check_finished(teacher, tuple(venv.get_attr("goal_names", 0)[0]), student.observation_space, student.action_space)
    states = _MetStates(teacher, venv, memory, exploration)
    optimizer = th.optim.Adam(student.policy.parameters(), lr=learning_rate)
    schedule = th.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    student.policy.set_training_mode(True)
    for _ in range(steps):
        states.meet()
        obs = states.sample(batch_size)
        goals = th.randint(len(teacher.goal_names), (batch_size,), device=teacher.device)
        loss = _imitation_loss(teacher, student, obs, goals)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    student.policy.set_training_mode(False)
    return student


class _MetStates:
    """The latest states that a teacher met, for whatever goals it was commanded."""

    def __init__(self, teacher: FinishedTeacher, env: VecEnv, size: int, exploration: float) -> None:
        self.teacher, self.env, self.exploration = teacher, env, exploration
        obs: Any = env.reset()
        shown = {key: th.as_tensor(value) for key, value in obs.items() if key not in GOAL_INPUT_KEYS}
        self.obs = obs
        self.states = {key: value.new_zeros(size, *value.shape[1:]).to(teacher.device) for key, value in shown.items()}
        self.size, self.met = size, 0

    def meet(self) -> None:
        """Remembers what the environments show, and takes a step in them."""
        rows = th.arange(self.met, self.met + self.env.num_envs, device=self.teacher.device) % self.size
        for key, states in self.states.items():
            states[rows] = th.as_tensor(self.obs[key], device=self.teacher.device)
        self.met += self.env.num_envs
        best, _ = self.teacher.policy.predict(self.obs, deterministic=True)
        self.obs, *_ = self.env.step(explore(best, int(self.env.action_space.n), self.exploration))  # type: ignore[attr-defined]

    def sample(self, count: int) -> TensorDict:
        """Some of the states."""
        rows = th.randint(min(self.met, self.size), (count,), device=self.teacher.device)
        return {key: states[rows] for key, states in self.states.items()}


def _environments(teacher: FinishedTeacher, env: GymEnv | None) -> VecEnv:
    """Environments without a sampler where there can be one of their own: the teacher's keeps its statistics."""
    if env is not None:
        return GymVecEnv(env) if isinstance(env, VectorEnv) else BaseAlgorithm._wrap_env(env)
    if teacher.env is None:
        raise ValueError("expected environments in which to meet states, got none; pass env")
    # Should the teacher train on, then from new episodes.
    teacher._last_obs = None
    return teacher.env.venv if isinstance(teacher.env, VecGoalSampler) else teacher.env


def _make_student(
    kind: StudentKind,
    env: VecEnv,
    goal_input: GoalInput,
    descriptors: Any,
    policy_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> PQN | PPO:
    table = choose_descriptors(env, goal_input, descriptors)
    networks = {"descriptors": None if table is None else np.asarray(table).tolist(), **(policy_kwargs or {})}
    if kind == "pqn":
        return PQN("GoalInputPolicy", env, policy_kwargs=networks, **kwargs)
    venv = goal_conditioned_venv(env)
    networks["goal_names"] = tuple(venv.get_attr("goal_names", 0)[0])
    return PPO(TaughtActorCriticPolicy, venv, policy_kwargs=networks, **kwargs)


def _imitation_loss(teacher: FinishedTeacher, student: PQN | PPO, obs: TensorDict, goals: th.Tensor) -> th.Tensor:
    with th.no_grad():
        teacher.policy.set_training_mode(False)
        values = teacher.q_net.values(teacher.q_net.goal_outputs(obs, goals))
    if isinstance(student, PQN):
        outputs = student.q_net.goal_outputs(obs, goals)
        if student.loss == "bce":
            return F.binary_cross_entropy_with_logits(outputs, values.clamp(0.0, 1.0))
        return 0.5 * F.mse_loss(student.q_net.values(outputs), values)
    commanded = {**obs, GOAL_KEY: goals.unsqueeze(1)}
    worth, log_prob, _ = student.policy.evaluate_actions(commanded, values.argmax(dim=1))
    return F.mse_loss(worth.flatten(), values.amax(dim=1)) - log_prob.mean()
