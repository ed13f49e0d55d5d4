from copy import deepcopy
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

import leo_wrappers
from leo_wrappers import (
    ContractChecker,
    ContractError,
    GoalConditionedWrapper,
    MultiGoalWrapper,
    PredicateGoals,
    UniformGoals,
    check_multigoal_env,
    check_multigoal_vec_env,
)
from tests.corridor_env import CorridorEnv, FaultyView, RenamedCorridor
from tests.line_env import LineGoalEnv, line_goals

check_quickly = partial(check_multigoal_env, skip_sb3_check=True, skip_gymnasium_check=True)


class ConstantEnv(gym.Env):
    """Always returns the same observation."""

    goal_names = ("start",)

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        observation_space.seed(0)
        self.observation = observation_space.sample()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return deepcopy(self.observation), {"goals_achieved": np.array([True])}

    def step(self, action):
        return deepcopy(self.observation), 0.0, False, False, {"goals_achieved": np.array([True])}


def by_position(observation, info):
    return np.arange(5) == observation[0]


def names_of(*cells):
    return ", ".join(f"'cell/{cell}'" for cell in cells)


# ---------------------------------------------------------------------------------------------- no faults


def test_correct_environment_passes():
    check_multigoal_env(CorridorEnv(), env_fn=CorridorEnv, oracle=by_position)


@pytest.mark.parametrize("goal_selector", ["uniform", "seen", "least_achieved", "round_robin"])
@pytest.mark.parametrize("on_success", ["terminate", "continue", "switch"])
def test_correct_goal_conditioned_environments_pass(on_success, goal_selector):
    make = lambda: GoalConditionedWrapper(CorridorEnv(), on_success=on_success, goal_selector=goal_selector)  # noqa: E731
    check_multigoal_env(make(), env_fn=make)
    for mode in AutoresetMode:
        check_multigoal_vec_env(SyncVectorEnv([make] * 3, autoreset_mode=mode))
    check_multigoal_vec_env(DummyVecEnv([make] * 3), env_fn=make)


@pytest.mark.parametrize("on_success", ["terminate", "continue", "switch"])
def test_correct_goal_envs_pass(on_success):
    make = lambda: GoalConditionedWrapper(MultiGoalWrapper(LineGoalEnv(), line_goals()), on_success=on_success)  # noqa: E731
    for seed in range(10):  # Stable-Baselines3 checks a single random step
        check_multigoal_env(make(), seed=seed, env_fn=make, steps=20)


def test_wrapped_environment_passes_without_warning_about_its_wrappers(recwarn):
    goals = PredicateGoals({"pole/left": lambda obs: obs[..., 2] < 0, "cart/left": lambda obs: obs[..., 0] < 0})
    check_multigoal_env(MultiGoalWrapper(gym.make("CartPole-v1"), goals))
    assert not [warning for warning in recwarn if "different from the unwrapped" in str(warning.message)]


# ------------------------------------------------------------------------------------------------ faults and their messages

FAULTS = {
    "no names": ["goal_names", "got none on it", "wrap it with MultiGoalWrapper"],
    "list of names": ["tuple of str", "got a list", "tuple(...)"],
    "names not str": ["non-empty", "got [0, 1, 2, 3, 4]"],
    "duplicate names": ["unique", "'cell/1', 'cell/3'"],
    "renames goals": ["5 goal_names of the environment when it was created", "'cell/two'", "begins episode 3", "seed 0"],
    "nested observation": ["flat Dict", "a Dict under 'inner'", "Stable-Baselines3 does not support"],
    "compute_reward": ["compute_reward", "GoalEnv", "rename the method"],
    "no mask at reset": ["the reset that begins episode 1", 'info["goals_achieved"]', "no keys at all", "seed 0", "'cell/0'"],
    "no mask at the end": ["step ", 'info["goals_achieved"]', "including the last step of an episode", "seed 0"],
    "list mask": ["numpy.ndarray", "a list", "np.asarray(mask, dtype=bool)"],
    "int mask": ["dtype bool", "int64", "mask.astype(bool)", "'cell/0'"],
    "masked array": ["numpy.ndarray", "a MaskedArray"],
    "short mask": ["shape (5,)", "shape (4,)", "5 goal_names"],
    "reused mask": ["fresh array", "shares with the mask of the reset that begins episode 1", "mask.copy()", "step 1 "],
    "late mask": [
        "where the observation was the same",
        "after the step, before any reset",
        "observation_determines_mask=False",
    ],
    "reset mask at the end": ["where the observation was the same", "on the step that ends an episode", "seed 0"],
    "mask of the commanded goal": ["for every commanded goal", "'cell/2'", "independently of the commanded goal"],
    "unseeded second reset": ["begins episode 2", "same seed and actions", "self.np_random"],
    "numpy terminated": ["terminated to be a Python bool", "numpy.bool", "bool(terminated)", "step 1 "],
    "NaN reward": ["a finite reward, got nan", "step 1 "],
    "numpy reward": ["Python float", "numpy.float32", "float(reward)"],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_reported(fault):
    with pytest.raises(ContractError) as caught:
        check_quickly(CorridorEnv(fault=fault))
    for part in FAULTS[fault]:
        assert part in str(caught.value)


@pytest.mark.parametrize("fault", ["late mask", "reused mask", "no mask at the end"])
def test_seed_and_step_of_the_error_reproduce_it(fault):
    env = CorridorEnv(fault=fault)
    with pytest.raises(ContractError, match=r"env\.action_space\.seed\(3\)") as caught:
        check_quickly(env, seed=3)
    assert caught.value.seed == 3 and f"step {caught.value.step} " in str(caught.value)
    again = ContractChecker(CorridorEnv(fault=fault))
    again.action_space.seed(3)
    again.reset(seed=3)
    for _ in range(caught.value.step - 1):
        *_, terminated, truncated, _ = again.step(again.action_space.sample())
        if terminated or truncated:
            again.reset()
    with pytest.raises(ContractError, match=f"^At step {caught.value.step} "):
        again.step(again.action_space.sample())


def test_error_has_the_goals_that_differ():
    with pytest.raises(ContractError) as caught:
        check_quickly(CorridorEnv(fault="reset mask at the end", random_start=False, limit=999), oracle=by_position)
    assert caught.value.goals == ("cell/0", "cell/4")
    assert "the oracle's mask" in str(caught.value) and f"Goals concerned: {names_of(0, 4)}" in str(caught.value)


def test_terminal_masks_that_always_equal_the_reset_masks_cause_a_warning():
    # The last cell occurs only at the end and every episode begins in the first one: no repeated observation has two masks.
    env = CorridorEnv(fault="reset mask at the end", random_start=False, length=3, limit=10_000)
    with pytest.warns(UserWarning, match="exactly the mask of the reset that followed in all"):
        check_quickly(env)


def test_history_dependent_masks_are_allowed_on_request():
    env = CorridorEnv(fault="cell 2 once a step went left")
    with pytest.raises(ContractError, match="Goals concerned: 'cell/2'"):
        check_quickly(env)
    check_quickly(env, observation_determines_mask=False)


def test_copies_must_be_equal():
    with pytest.raises(ContractError, match=r"same goal_names .*, got 5 and 6 names .*only one of them has 'cell/5'"):
        check_quickly(CorridorEnv(), env_fn=lambda: CorridorEnv(length=6))
    reorder = lambda: RenamedCorridor(goal_names=tuple(f"cell/{i}" for i in range(4, -1, -1)))  # noqa: E731
    with pytest.raises(ContractError, match="the same names in another order"):
        check_quickly(CorridorEnv(), env_fn=reorder)
    with pytest.raises(ContractError, match="in another copy"):
        check_quickly(CorridorEnv(limit=12), env_fn=lambda: CorridorEnv(limit=3))


def test_normalize_observation_is_named_in_the_error():
    with pytest.raises(ContractError, match="without wrappers that keep statistics, such as NormalizeObservation"):
        check_quickly(gym.wrappers.NormalizeObservation(CorridorEnv()), observation_determines_mask=False)


def test_declared_nondeterminism_is_allowed():
    gym.register("Corridor-v0", CorridorEnv, nondeterministic=True, kwargs={"fault": "unseeded second reset"})
    try:
        check_quickly(gym.make("Corridor-v0"))
    finally:
        del gym.registry["Corridor-v0"]


def test_gymnasium_and_sb3_checkers_run_too():
    class NoSeed(CorridorEnv):
        def reset(self, *, seed=None, options=None):
            self._np_random = np.random.default_rng(0)
            return super().reset(options=options)

    check_quickly(NoSeed())
    with pytest.raises(ContractError, match=r"gymnasium\.utils\.env_checker\.check_env, got:"):
        check_multigoal_env(NoSeed())

    class InfiniteActions(CorridorEnv):
        def __init__(self):
            super().__init__()
            self.action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)

        def step(self, action):
            return super().step(int(action[0] > 0))

    with pytest.raises(ContractError, match=r"stable_baselines3\.common\.env_checker\.check_env, got: Continuous action"):
        check_multigoal_env(InfiniteActions())
    check_multigoal_env(InfiniteActions(), skip_sb3_check=True)


@pytest.mark.parametrize(
    ("observation_space", "action_space"),
    [
        (spaces.Box(-1, 1, (), np.float32), spaces.Discrete(2)),
        (spaces.Text(5), spaces.Discrete(2)),
        (spaces.Discrete(3), spaces.Tuple((spaces.Discrete(2), spaces.Box(-1, 1, (2,))))),
        (spaces.Discrete(3), spaces.Text(5)),
    ],
    ids=str,
)
def test_sb3_checker_is_skipped_for_spaces_it_does_not_support(observation_space, action_space):
    env = ConstantEnv(observation_space, action_space)
    with pytest.warns(UserWarning, match="its checker was skipped"):
        check_multigoal_env(env, oracle=lambda obs, info: [True])


@pytest.mark.parametrize(("argument", "error"), [(SyncVectorEnv([CorridorEnv]), TypeError), (CorridorEnv, TypeError)])
def test_wrong_kind_of_environment(argument, error):
    with pytest.raises(error, match="use check_multigoal_vec_env"):
        check_multigoal_env(argument)
    with pytest.raises(TypeError, match="use check_multigoal_env for a single"):
        check_multigoal_vec_env(CorridorEnv())
    with pytest.raises(ValueError, match="steps of at least 1, got 0"):
        check_multigoal_env(CorridorEnv(), steps=0)


# ---------------------------------------------------------------------------------------------- goal-conditioned environments

VIEW_FAULTS = {
    "no reward": ("continue", ["reward 1.0", "reward 0.0", "float(mask[goal_id])", "Goals concerned: 'cell/"]),
    "success at reset": ("continue", ['info["is_success"] to be False', "already achieved at the reset"]),
    "success of this step only": ("continue", ['info["is_success"] to be the bool True', "False"]),
    "numpy success": ("continue", ['info["is_success"] to be the bool', "np."]),
    "does not terminate": ("terminate", ["terminated=True", 'on_success is "terminate"']),
    "no goal_id": ("continue", ['info["goal_id"] to be', "'nothing'"]),
    "switches without success": ("switch", ['observation["goal_id"] to stay', "by set_goal, or on success"]),
    "one goal too many": ("continue", ["Discrete(5)", "Discrete(6)"]),
}


@pytest.mark.parametrize("fault", VIEW_FAULTS)
def test_fault_of_a_goal_conditioned_environment_is_reported(fault):
    on_success, parts = VIEW_FAULTS[fault]
    with pytest.raises(ContractError) as caught:
        # "success at reset" is a fault only for commanded goals that are already achieved.
        env = FaultyView(CorridorEnv(limit=40), fault, on_success=on_success, goal_selector=UniformGoals(skip_achieved=False))
        check_quickly(env)
    for part in parts:
        assert part in str(caught.value)


def test_set_goal_resets_is_success():
    env = ContractChecker(GoalConditionedWrapper(CorridorEnv(random_start=False), on_success="continue"))
    env.reset(seed=0, options={"goal": "cell/1"})
    assert env.step(1)[4]["is_success"]
    env.command_goal("cell/2")
    assert not env.step(0)[4]["is_success"]
    assert not env.step(1)[4]["is_success"]
    assert env.step(1)[4]["is_success"]


# ---------------------------------------------------------------------------------------------------- the wrapper


def test_checker_changes_nothing():
    plain, checked = CorridorEnv(), ContractChecker(CorridorEnv())
    for env in (plain, checked):
        env.action_space.seed(1)
    seed = 5
    for _ in range(10):
        (obs, info), (checked_obs, checked_info) = plain.reset(seed=seed), checked.reset(seed=seed)
        seed, done = None, False
        while not done:
            assert np.array_equal(obs, checked_obs) and np.array_equal(info["goals_achieved"], checked_info["goals_achieved"])
            obs, *rest, info = plain.step(plain.action_space.sample())
            checked_obs, *checked_rest, checked_info = checked.step(checked.action_space.sample())
            assert rest == checked_rest
            done = rest[1] or rest[2]


def test_overwriting_a_returned_mask_is_reported():
    env = ContractChecker(CorridorEnv(random_start=False))
    _, info = env.reset(seed=0)
    info["goals_achieved"][3] = True
    with pytest.raises(ContractError, match="to stay unchanged, got other values for 'cell/3'"):
        env.step(1)


def test_replay_needs_recorded_calls():
    env = ContractChecker(CorridorEnv())
    with pytest.raises(ValueError, match="record=True"):
        env.replay()
    with pytest.raises(ValueError, match=r"reset\(seed=\.\.\.\)"):
        ContractChecker(CorridorEnv(), record=True).replay()


def test_command_goal_needs_a_method():
    class Plain(CorridorEnv):
        set_commanded_goal = property()

    with pytest.raises(ValueError, match="wrap it with GoalConditionedWrapper"):
        ContractChecker(Plain()).command_goal(0)


def test_public_names_can_be_imported():
    assert all(getattr(leo_wrappers, name).__name__ == name for name in leo_wrappers.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = leo_wrappers.no_such_name
