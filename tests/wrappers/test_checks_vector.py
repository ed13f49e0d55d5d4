import re
from functools import partial

import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from leo_wrappers import (
    ContractError,
    InfoList,
    check_multigoal_vec_env,
)
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from tests.corridor_env import CorridorEnv, FaultyVecEnv, FaultyVectorEnv

# Not forked: other tests may have started JAX in this process, whose threads do not survive that.
ProcessesEnv = partial(AsyncVectorEnv, context="forkserver")


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_faultless_gymnasium_vector_environments_pass(mode):
    check_multigoal_vec_env(SyncVectorEnv([CorridorEnv] * 3, autoreset_mode=mode))


def test_faultless_vector_environments_of_processes_pass():
    envs = ProcessesEnv([CorridorEnv] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    venv = SubprocVecEnv([CorridorEnv] * 2)
    try:
        check_multigoal_vec_env(envs, steps=50)
        check_multigoal_vec_env(venv, steps=50, env_fn=CorridorEnv)
    finally:
        envs.close()
        venv.close()


def test_faultless_sb3_vector_environments_pass():
    check_multigoal_vec_env(DummyVecEnv([CorridorEnv] * 3))
    vector_env = SyncVectorEnv([CorridorEnv] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    check_multigoal_vec_env(GymVecEnv(vector_env), env_fn=CorridorEnv)


@pytest.mark.parametrize("on_success", ["terminate", "continue", "switch"])
def test_a_goal_sampler_passes(on_success):
    venv = VecGoalSampler(DummyVecEnv([CorridorEnv] * 3), on_success=on_success)
    check_multigoal_vec_env(venv, env_fn=CorridorEnv)


SAME, NEXT = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP
VECTOR_FAULTS = {
    "final mask of the reset": (SAME, ["last state", "before any reset", "step "]),
    "no final info": (SAME, ['infos["_final_info"]', "no such key", 'infos["final_obs"]']),
    "no final observation": (SAME, ['infos["final_obs"]', "no such key"]),
    "no presence": (NEXT, ['infos["_goals_achieved"] to be the bool array [True, True, True]', "None"]),
    "rows swapped": (NEXT, ["environment 0's last state", "the same environment alone", "Goals concerned"]),
    "reward of the reset": (NEXT, ["with reward 0 and no end (NEXT_STEP)", "reward 1.0"]),
    "reused batch": (SAME, ["fresh array", "shares with the mask of step 1"]),
}


def faulty(kind, fault, **kwargs):
    return type(kind.__name__, (kind,), {"fault": fault})([CorridorEnv] * 3, **kwargs)


@pytest.mark.parametrize("fault", VECTOR_FAULTS)
def test_every_fault_of_a_gymnasium_vector_environment_is_named(fault):
    mode, parts = VECTOR_FAULTS[fault]
    with pytest.raises(ContractError) as caught:
        check_multigoal_vec_env(faulty(FaultyVectorEnv, fault, autoreset_mode=mode), observation_determines_mask=False)
    for part in [*parts, "seed 0"]:
        assert part in str(caught.value)


SB3_FAULTS = {
    "aliased rows": ["infos[0] and infos[1] not to overlap", "rows of one [N, G] array"],
    "no terminal mask": ['["goals_achieved"]', "the last one of an episode included"],
    "no terminal observation": ['["terminal_observation"] where dones['],
    "terminal mask of the reset": ["same observation came with", "on the step that ends an episode"],
    "no reset mask": ["venv.unwrapped.reset_infos[", "no keys at all"],
}


@pytest.mark.parametrize("fault", SB3_FAULTS)
def test_every_fault_of_an_sb3_vector_environment_is_named(fault):
    with pytest.raises(ContractError) as caught:
        check_multigoal_vec_env(faulty(FaultyVecEnv, fault))
    for part in [*SB3_FAULTS[fault], "seed 0"]:
        assert part in str(caught.value)


@pytest.mark.parametrize("determines", [True, False])
def test_a_terminal_mask_of_the_reset_is_found_by_the_table_and_by_the_copy_alone(determines):
    """Where the observation does not determine the mask, only the environments played beside show the fault."""
    env_fn = None if determines else CorridorEnv
    with pytest.raises(ContractError, match=re.escape("same observation" if determines else "last state")):
        check_multigoal_vec_env(
            faulty(FaultyVecEnv, "terminal mask of the reset"), observation_determines_mask=determines, env_fn=env_fn
        )


def test_vector_environments_must_be_reproducible():
    with pytest.raises(ContractError, match=r"environment [0-2] for the same seed and actions"):
        check_multigoal_vec_env(DummyVecEnv([partial(CorridorEnv, fault="unseeded second reset")] * 3))


def test_environments_with_other_goals_do_not_go_together():
    make = [CorridorEnv, lambda: RenamedCorridor()]
    for venv in (SyncVectorEnv(make), DummyVecEnv(make)):
        with pytest.raises(ContractError, match=r"got others in environment 1 .*'way/0'"):
            check_multigoal_vec_env(venv)


class RenamedCorridor(CorridorEnv):
    def __init__(self):
        super().__init__()
        self.goal_names = tuple(name.replace("cell", "way") for name in self.goal_names)


def test_the_batch_of_an_info_list_must_be_its_rows():
    class Unbatched(DummyVecEnv):
        def step_wait(self):
            *rest, infos = super().step_wait()
            return *rest, InfoList(infos, np.zeros((2, 5), dtype=bool))

    with pytest.raises(ContractError, match=r"infos\.goals_achieved to be the \[N, G\] array"):
        check_multigoal_vec_env(Unbatched([CorridorEnv] * 2))


@pytest.mark.parametrize("kind", [SyncVectorEnv, ProcessesEnv, DummyVecEnv, SubprocVecEnv])
def test_vector_environments_without_names_are_told_what_to_do(kind):
    venv = kind([partial(CorridorEnv, fault="no names")])
    try:
        with pytest.raises(ContractError, match=r"goal_names, got none; .*MultiGoalWrapper"):
            check_multigoal_vec_env(venv)
    finally:
        venv.close()


def test_vector_environments_declare_their_mode():
    envs = SyncVectorEnv([CorridorEnv])
    envs.metadata = {}
    with pytest.raises(ContractError, match="autoreset_mode"):
        check_multigoal_vec_env(envs)
