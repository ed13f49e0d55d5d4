"""Environments that run programs, single and vectorized."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3 import DQN
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv

import leo_envs
from leo_agents import LEODQN
from leo_wrappers import achieved_from_infos, check_multigoal_env, check_multigoal_vec_env
from leo_wrappers.programs import ProgramVectorWrapper, ProgramWrapper, goal
from leo_wrappers.sb3 import GymVecEnv
from tests.line_env import LineEnv, LineGoalEnv, MultiGoalWrapper, line_goals, make_line

gym.register_envs(leo_envs)

PROGRAM = (goal("at/2") >> goal("at/1")) & ~goal("at/3")


def rollout(env, actions):
    """Return program state, reward, terminated, truncated, success and progress of each step."""
    rows = []
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        assert obs["program_state"] == info["program_state"]
        row = (int(obs["program_state"]), reward, terminated, truncated)
        rows.append((*row, info["is_success"], info["program_progress"], info.get("ended_by_goal", False)))
    return rows


def test_acceptance():
    env = ProgramWrapper(make_line(start=1), PROGRAM)
    obs, info = env.reset()
    assert obs["program_state"] == 0 and info["program_progress"] == 0.0 and not info["is_success"]
    assert rollout(env, [0, 1, 1, 0]) == [
        (0, 0.0, False, False, False, 0.0, False),
        (0, 0.0, False, False, False, 0.0, False),
        (1, 0.0, False, False, False, 0.5, False),
        (2, 1.0, True, False, True, 1.0, True),
    ]
    assert env.reset()[0]["program_state"] == 0
    assert rollout(env, [1, 0])[-1][1] == 1.0


def test_violation():
    env = ProgramWrapper(make_line(start=2), PROGRAM)
    env.reset()
    assert rollout(env, [1]) == [(3, 0.0, True, False, False, 0.0, True)]


def test_an_episode_that_the_environment_terminates():
    env = ProgramWrapper(make_line(trap=2), "at/2")
    env.reset()
    assert rollout(env, [1, 1])[-1] == (1, 1.0, True, False, True, 1.0, False)


def test_masks_and_dictionaries_stay_as_they_are():
    env = ProgramWrapper(MultiGoalWrapper(LineGoalEnv(), line_goals()), "at/1")
    obs, info = env.reset()
    assert sorted(obs) == ["achieved_goal", "desired_goal", "observation", "program_state"]
    assert info["goals_achieved"].tolist() == [True, False, False, False, False]
    assert env.get_wrapper_attr("goal_names") == tuple(f"at/{n}" for n in range(5))


def test_checkers_pass():
    env = ProgramWrapper(gym.make("leo/GridWorld-v0", max_episode_steps=30), "cell/0,0 then cell/3,2 avoiding cell/8,9")
    check_multigoal_env(env)
    check_env(ProgramWrapper(make_line(), PROGRAM), skip_render_check=True)
    sb3_check_env(ProgramWrapper(make_line(), PROGRAM))
    check_multigoal_vec_env(ProgramVectorWrapper(vector(3, start=None), PROGRAM))
    check_multigoal_vec_env(GymVecEnv(ProgramVectorWrapper(vector(3, start=None), PROGRAM)))
    check_multigoal_vec_env(DummyVecEnv([lambda: ProgramWrapper(make_line(start=None), PROGRAM)] * 3))


def vector(n_envs=3, kind=SyncVectorEnv, **kwargs):
    return kind([lambda: make_line(**kwargs)] * n_envs, autoreset_mode=AutoresetMode.DISABLED)


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_vectorized_programs_reset_their_environments(kind):
    env = ProgramVectorWrapper(vector(kind=kind, start=1, horizon=5), PROGRAM)
    assert env.reset()[0]["program_state"].tolist() == [0, 0, 0]
    obs, rewards, terminated, truncated, infos = env.step(np.array([1, 0, 1]))
    assert obs["program_state"].tolist() == [1, 0, 1] and not (terminated | truncated).any() and not rewards.any()
    obs, rewards, terminated, truncated, infos = env.step(np.array([0, 1, 1]))
    assert rewards.tolist() == [1.0, 0.0, 0.0] and terminated.tolist() == [True, False, True] and not truncated.any()
    assert obs["observation"].ravel().tolist() == [1, 1, 1] and obs["program_state"].tolist() == [0, 0, 0]
    final = infos["final_info"]
    assert final["program_state"].tolist() == [2, 0, 3] and final["is_success"].tolist() == [True, False, False]
    assert final["ended_by_goal"].tolist() == [True, False, True]
    last = [infos["final_obs"][row] for row in (0, 2)]
    assert [(float(o["observation"][0]), int(o["program_state"])) for o in last] == [(1.0, 2), (3.0, 3)]
    assert infos["goals_achieved"].argmax(axis=1).tolist() == [1, 1, 1]
    assert achieved_from_infos(infos, 3).argmax(axis=1).tolist() == [1, 1, 3]
    # "steps" is reported by steps only, and two of these rows belong to a reset.
    assert infos["_steps"].tolist() == [False, True, False] and final["steps"].tolist() == [2, 2, 2]
    env.close()


def test_vectorized_and_single_environments_agree():
    rng = np.random.default_rng(0)
    env = ProgramVectorWrapper(vector(4, start=None, horizon=7), PROGRAM)
    singles = [ProgramWrapper(make_line(start=None, horizon=7), PROGRAM) for _ in range(4)]
    env.reset(seed=3)
    for row, single in enumerate(singles):
        single.reset(seed=3 + row)
    for _ in range(200):
        actions = rng.integers(0, 2, 4)
        obs, rewards, terminated, truncated, infos = env.step(actions)
        for row, single in enumerate(singles):
            one, reward, *flags, info = single.step(actions[row])
            done = any(flags)
            assert [rewards[row], terminated[row], truncated[row]] == [reward, *flags]
            batch = infos["final_info"] if done else infos
            assert all(batch[key][row] == info[key] for key in ("program_state", "program_progress", "is_success"))
            if done:
                assert infos["final_obs"][row].keys() == one.keys()
                assert all(np.array_equal(infos["final_obs"][row][key], one[key]) for key in one)
                one = single.reset()[0]
            assert all(np.array_equal(obs[key][row], one[key]) for key in one)


def test_copies_continue_the_program():
    env = ProgramWrapper(make_line(), PROGRAM)
    env.reset()
    env.step(1), env.step(1)
    copy = pickle.loads(pickle.dumps(env))
    assert rollout(copy, [0]) == rollout(env, [0]) == [(2, 1.0, True, False, True, 1.0, True)]
    many = ProgramVectorWrapper(
        gym.make_vec("leo/GridWorld-v0", num_envs=3, map="S..", autoreset_mode="Disabled"), "cell/0,1 then cell/0,2"
    )
    many.reset()
    many.step(np.array([1, 3, 1]))
    copy = pickle.loads(pickle.dumps(many))
    assert copy.program_states.tolist() == many.program_states.tolist() == [1, 0, 1]
    assert copy.step(np.array([1, 1, 3]))[1].tolist() == many.step(np.array([1, 1, 3]))[1].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: DummyVecEnv([lambda: ProgramWrapper(make_line(start=None), PROGRAM)] * 3),
        lambda: GymVecEnv(
            ProgramVectorWrapper(
                gym.make_vec("leo/GridWorld-v0", num_envs=3, map="S.....", max_episode_steps=30, autoreset_mode="Disabled"),
                "cell/0,3 then cell/0,0",
            )
        ),
    ],
)
def test_checkpoints_resume_the_programs(make, tmp_path):
    model = LEODQN("MultiGoalPolicy", make(), learning_starts=20, seed=0, policy_kwargs={"net_arch": [32]}).learn(90)
    model.save_checkpoint(tmp_path)
    model.learn(60, reset_num_timesteps=False)
    resumed = LEODQN.resume(tmp_path).learn(60, reset_num_timesteps=False)
    observation = model.env.reset()
    assert np.array_equal(model.q_values(observation), resumed.q_values(observation))


def test_an_agent_learns_a_program():
    env = ProgramWrapper(make_line(length=3, horizon=12), "at/2 then at/0")
    model = DQN(
        "MultiInputPolicy",
        env,
        learning_starts=50,
        seed=0,
        policy_kwargs={"net_arch": [32]},
        train_freq=1,
        learning_rate=1e-3,
        target_update_interval=100,
        exploration_fraction=0.8,
    )
    model.learn(1_000)
    obs, done, reward = env.reset()[0], False, 0.0
    while not done:
        obs, reward, terminated, truncated, _ = env.step(int(model.predict(obs, deterministic=True)[0]))
        done = terminated or truncated
    assert reward == 1.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ProgramWrapper(LineEnv(), "a"), "without goal_names"),
        (lambda: ProgramWrapper(None, "a"), "expected an environment"),
        (lambda: ProgramWrapper(make_line(), "at/9"), "at column 1"),
        (lambda: ProgramWrapper(make_line(), None), "to be a Program, got None"),
        (lambda: ProgramWrapper(ProgramWrapper(make_line(), "at/1"), "at/2"), "without 'program_state'"),
        (lambda: ProgramVectorWrapper(make_line(), "at/1"), "VectorEnv"),
        (lambda: ProgramVectorWrapper(vector(), "at/1 at/2"), "at column 6"),
        (lambda: ProgramVectorWrapper(SyncVectorEnv([make_line]), "at/1"), "autoreset_mode DISABLED"),
        (lambda: ProgramVectorWrapper(SyncVectorEnv([LineEnv], autoreset_mode="Disabled"), "at/1"), "got 0 kinds"),
        (lambda: ProgramVectorWrapper(vector(), "at/1").reset(options={"reset_mask": np.ones(3, dtype=bool)}), "reset_mask"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert message in str(caught.value)
