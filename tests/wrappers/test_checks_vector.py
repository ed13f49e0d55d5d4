import re
from functools import partial

import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import NormalizeObservation
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from leo_wrappers import (
    ContractError,
    InfoList,
    check_multigoal_vec_env,
)
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from tests.corridor_env import CorridorEnv, FaultyVecEnv, FaultyVectorEnv, RenamedCorridor

# Not forked: JAX, which other tests start in this process, is multithreaded and does not survive a fork.
ProcessesEnv = partial(AsyncVectorEnv, context="forkserver")


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_correct_gymnasium_vector_env_passes(mode):
    check_multigoal_vec_env(SyncVectorEnv([CorridorEnv] * 3, autoreset_mode=mode))


def test_correct_vector_envs_with_subprocesses_pass():
    envs = ProcessesEnv([CorridorEnv] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    venv = SubprocVecEnv([CorridorEnv] * 2)
    try:
        check_multigoal_vec_env(envs, steps=50)
        check_multigoal_vec_env(venv, steps=50, env_fn=CorridorEnv)
    finally:
        envs.close()
        venv.close()


def test_correct_sb3_vec_envs_pass():
    check_multigoal_vec_env(DummyVecEnv([CorridorEnv] * 3))
    vector_env = SyncVectorEnv([CorridorEnv] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    check_multigoal_vec_env(GymVecEnv(vector_env), env_fn=CorridorEnv)


def test_wrappers_with_statistics_pass():
    check_multigoal_vec_env(VecNormalize(DummyVecEnv([CorridorEnv] * 3)))
    check_multigoal_vec_env(NormalizeObservation(SyncVectorEnv([CorridorEnv] * 3)))


@pytest.mark.parametrize("on_success", ["terminate", "continue", "switch"])
def test_vec_goal_sampler_passes(on_success):
    venv = VecGoalSampler(DummyVecEnv([CorridorEnv] * 3), on_success=on_success)
    check_multigoal_vec_env(venv, env_fn=CorridorEnv)


SAME, NEXT = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP
VECTOR_FAULTS = {
    "final mask of the reset": (SAME, ["last state", "before any reset", "step "]),
    "no final info": (SAME, ['infos["_final_info"]', "no such key", 'infos["final_obs"]']),
    "no final observation": (SAME, ['infos["final_obs"]', "no such key"]),
    "no presence": (NEXT, ['infos["_goals_achieved"] to be the bool array [True, True, True]', "None"]),
    "rows swapped": (NEXT, ["environment 0's last state", "as from a single environment", "Goals concerned"]),
    "reward of the reset": (NEXT, ["with reward 0 and not done (NEXT_STEP)", "reward 1.0"]),
    "reused batch": (SAME, ["fresh array", "shares with the mask of step 1"]),
}


def faulty(kind, fault, **kwargs):
    return type(kind.__name__, (kind,), {"fault": fault})([CorridorEnv] * 3, **kwargs)


@pytest.mark.parametrize("fault", VECTOR_FAULTS)
def test_fault_of_a_gymnasium_vector_env_is_reported(fault):
    mode, parts = VECTOR_FAULTS[fault]
    with pytest.raises(ContractError) as caught:
        check_multigoal_vec_env(faulty(FaultyVectorEnv, fault, autoreset_mode=mode), observation_determines_mask=False)
    for part in [*parts, "seed 0"]:
        assert part in str(caught.value)


SB3_FAULTS = {
    "aliased rows": ["infos[0] and infos[1] not to overlap", "rows of one [N, G] array"],
    "no terminal mask": ['["goals_achieved"]', "including the last step of an episode"],
    "no terminal observation": ['["terminal_observation"] where dones['],
    "terminal observation of the reset": [
        '["terminal_observation"] and the mask to describe the same last state',
        "before the reset",
    ],
    "terminal mask of the reset": ["where the observation was the same", "on the step that ends an episode"],
    "no reset mask": ["venv.unwrapped.reset_infos[", "no keys at all"],
}


@pytest.mark.parametrize("fault", SB3_FAULTS)
def test_fault_of_an_sb3_vec_env_is_reported(fault):
    with pytest.raises(ContractError) as caught:
        check_multigoal_vec_env(faulty(FaultyVecEnv, fault))
    for part in [*SB3_FAULTS[fault], "seed 0"]:
        assert part in str(caught.value)


@pytest.mark.parametrize("determines", [True, False])
def test_terminal_mask_of_the_reset_is_found_by_repeated_observations_and_by_env_fn(determines):
    """With observation_determines_mask=False only the comparison with single environments finds the fault."""
    env_fn = None if determines else CorridorEnv
    with pytest.raises(ContractError, match=re.escape("observation was the same" if determines else "last state")):
        check_multigoal_vec_env(
            faulty(FaultyVecEnv, "terminal mask of the reset"), observation_determines_mask=determines, env_fn=env_fn
        )


def test_vector_envs_must_be_reproducible():
    with pytest.raises(ContractError, match=r"for the same seed and actions the same mask in environment [0-2]"):
        check_multigoal_vec_env(DummyVecEnv([partial(CorridorEnv, fault="unseeded second reset")] * 3))


@pytest.mark.parametrize("kind", [SyncVectorEnv, DummyVecEnv])
def test_rewards_must_be_finite(kind):
    with pytest.raises(ContractError, match=r"step 1 .* a finite reward, got nan"):
        check_multigoal_vec_env(kind([partial(CorridorEnv, fault="NaN reward")] * 2))


def test_environments_must_have_the_same_goals():
    make = [CorridorEnv, lambda: RenamedCorridor(goal_names=tuple("abcde"))]
    for venv in (SyncVectorEnv(make), DummyVecEnv(make)):
        with pytest.raises(ContractError, match=r"environment 1 \(only one of them has 'a', 'b'"):
            check_multigoal_vec_env(venv)


def test_info_list_batch_must_equal_its_rows():
    class Unbatched(DummyVecEnv):
        def step_wait(self):
            *rest, infos = super().step_wait()
            return *rest, InfoList(infos, np.zeros((2, 5), dtype=bool))

    with pytest.raises(ContractError, match=r"infos\.goals_achieved to be the \[N, G\] array"):
        check_multigoal_vec_env(Unbatched([CorridorEnv] * 2))


@pytest.mark.parametrize("kind", [SyncVectorEnv, ProcessesEnv, DummyVecEnv, SubprocVecEnv])
def test_vector_env_without_goal_names(kind):
    venv = kind([partial(CorridorEnv, fault="no names")])
    try:
        with pytest.raises(ContractError, match=r"goal_names, got none; .*MultiGoalWrapper"):
            check_multigoal_vec_env(venv)
    finally:
        venv.close()


def test_vector_env_without_autoreset_mode():
    envs = SyncVectorEnv([CorridorEnv])
    envs.metadata = {}
    with pytest.raises(ContractError, match="autoreset_mode"):
        check_multigoal_vec_env(envs)
