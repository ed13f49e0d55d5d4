"""Batched functional environments and their Gymnasium and SB3 interfaces, tested with one walker environment."""

import copy
import os
import pickle
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch as th
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare
from stable_baselines3.common.env_checker import check_env as check_sb3_env

from leo_wrappers import achieved_from_infos, check_multigoal_env, check_multigoal_vec_env
from leo_wrappers.jax_envs import (
    BatchedEnv,
    BatchState,
    GymnaxEnv,
    JaxEnv,
    JaxVectorEnv,
    Transition,
    batch_functions,
    batched_env,
    to_torch,
)
from leo_wrappers.sb3 import JaxVecEnv
from tests.envs.vector_equivalence import assert_same, compare_rollouts
from tests.wanderer_env import Wanderer, step_and_reset

ENV = Wanderer()
NUM_ENVS = 5
MODES = list(AutoresetMode)


def reset_all(envs: BatchedEnv, seed: int = 0) -> tuple[BatchState, Any]:
    keys = envs.keys(list(range(seed, seed + envs.num_envs)))
    return envs.reset(envs.empty(keys), np.ones(envs.num_envs, dtype=bool))


def rollout(envs: BatchedEnv, actions: np.ndarray, seed: int = 0) -> tuple[Any, list[Transition], list[Any]]:
    """Return the observations after the first reset, all transitions, and the observations after each step and reset."""
    batch, first = reset_all(envs, seed)
    transitions, observations = [], []
    for row in actions:
        batch, transition, observed = step_and_reset(envs, batch, row)
        transitions.append(jax.device_get(transition))
        observations.append(jax.device_get(observed))
    return jax.device_get(first), transitions, observations


def random_actions(steps: int, num_envs: int = NUM_ENVS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, size=(steps, num_envs))


class TestEqualTrajectories:
    @pytest.mark.parametrize("mode", MODES)
    def test_rows_equal_single_environments(self, mode: AutoresetMode) -> None:
        ours = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=mode)
        theirs = SyncVectorEnv([lambda: JaxEnv(ENV)] * NUM_ENVS, autoreset_mode=mode)
        assert compare_rollouts(ours, theirs, steps=60, seed=3) > 20

    def test_masked_resets_equal_resets_of_single_environments(self) -> None:
        ours = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=AutoresetMode.DISABLED)
        theirs = SyncVectorEnv([lambda: JaxEnv(ENV)] * NUM_ENVS, autoreset_mode=AutoresetMode.DISABLED)
        resets = {2: np.array([True, False, False, True, False]), 7: np.array([False, True, False, False, False])}
        compare_rollouts(ours, theirs, steps=20, seed=5, resets=resets)

    @pytest.mark.parametrize("seeds", [[7, None, None, 2, None], [1, 2, 3, 4, 5]])
    def test_reseeding_some_rows(self, seeds: list[int | None]) -> None:
        envs = JaxVectorEnv(ENV, NUM_ENVS)
        envs.reset(seed=11)
        obs, _ = envs.reset(seed=seeds)
        for row, seed in enumerate(seeds):
            single = JaxEnv(ENV)
            single.reset(seed=11 + row)
            expected, _ = single.reset(seed=seed)
            assert_same({key: value[row] for key, value in obs.items()}, expected)

    def test_batched_vector_and_sb3_environments_agree(self) -> None:
        actions = random_actions(40)
        _, transitions, observations = rollout(BatchedEnv(ENV, NUM_ENVS), actions, seed=9)
        vector_env = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP)
        vector_env.reset(seed=9)
        venv = JaxVecEnv(ENV, NUM_ENVS)
        venv.seed(9)
        venv.reset()
        for step, row in enumerate(actions):
            obs, rewards, terminated, truncated, infos = vector_env.step(row)
            sb3_obs, sb3_rewards, dones, sb3_infos = venv.step(row)
            transition, observed = transitions[step], observations[step]
            assert_same(obs, observed.obs)
            assert_same(dict(sb3_obs), observed.obs)
            np.testing.assert_array_equal(rewards, transition.rewards)
            np.testing.assert_array_equal(sb3_rewards, transition.rewards)
            np.testing.assert_array_equal(terminated, transition.terminated)
            np.testing.assert_array_equal(truncated, transition.truncated)
            np.testing.assert_array_equal(dones, transition.dones)
            np.testing.assert_array_equal(achieved_from_infos(infos, NUM_ENVS), transition.goals_achieved)
            np.testing.assert_array_equal(achieved_from_infos(sb3_infos, NUM_ENVS), transition.goals_achieved)
            for number in np.flatnonzero(dones):
                final_obs = {key: value[number] for key, value in transition.obs.items()}
                assert_same(infos["final_obs"][number], final_obs)
                assert_same(sb3_infos[number]["terminal_observation"], final_obs)
                assert sb3_infos[number]["TimeLimit.truncated"] == transition.truncated[number]
                np.testing.assert_array_equal(sb3_infos[number]["goals_achieved"], transition.goals_achieved[number])

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=30))
    def test_an_environment_does_not_depend_on_the_others(self, others: list[list[int]]) -> None:
        actions = random_actions(len(others), 1, seed=4)[:, 0]
        envs = BatchedEnv(ENV, 4)
        _, *first_run = rollout(envs, np.column_stack([actions, *np.zeros((3, len(others)), dtype=int)]))
        _, *second_run = rollout(envs, np.column_stack([actions, np.array(others)]))
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[0]), first_run, second_run)


class TestEpisodeEnds:
    def test_transitions_belong_to_the_episode_that_ended(self) -> None:
        first, transitions, observations = rollout(BatchedEnv(ENV, NUM_ENVS), random_actions(80))
        reset_id, elapsed = first.obs["reset_id"], np.zeros(NUM_ENVS, dtype=int)
        num_episodes = 0
        for transition, observed in zip(transitions, observations, strict=True):
            dones = transition.dones
            elapsed += 1
            np.testing.assert_array_equal(transition.obs["reset_id"], reset_id)
            np.testing.assert_array_equal(transition.obs["position_and_step"][:, 1], elapsed)
            position = transition.obs["position_and_step"][:, 0]
            np.testing.assert_array_equal(transition.goals_achieved, np.arange(ENV.length) == position[:, None])
            np.testing.assert_array_equal(transition.terminated, position < 0)
            np.testing.assert_array_equal(transition.truncated, (elapsed >= ENV.time_limit) & (position >= 0))
            new_id = observed.obs["reset_id"][:, 0]
            assert (new_id[dones] != reset_id[dones, 0]).all()
            np.testing.assert_array_equal(observed.obs["position_and_step"][dones, 0], new_id[dones] % ENV.length)
            initial_masks = np.arange(ENV.length) == (new_id % ENV.length)[:, None]
            np.testing.assert_array_equal(observed.goals_achieved[dones], initial_masks[dones])
            assert_same(*({key: value[~dones] for key, value in part.obs.items()} for part in (observed, transition)))
            elapsed[dones] = 0
            reset_id = observed.obs["reset_id"]
            num_episodes += int(dones.sum())
        assert num_episodes > 20

    def test_no_initial_state_is_used_twice_if_all_episodes_end_at_every_step(self) -> None:
        num_envs = 2 * batched_env.RESETS_PER_GROUP + 3
        first, transitions, observations = rollout(BatchedEnv(Wanderer(time_limit=1), num_envs), random_actions(12, num_envs))
        assert all(transition.dones.all() for transition in transitions)
        reset_ids = np.concatenate([observed.obs["reset_id"] for observed in (first, *observations)])
        assert len(np.unique(reset_ids)) == 13 * num_envs

    def test_the_wind_is_independent_at_every_step(self) -> None:
        # Except at the right end, action 1 moves by one without wind and by none with wind.
        num_envs, steps = 40, 60
        _, transitions, observations = rollout(
            BatchedEnv(Wanderer(length=1000, time_limit=4), num_envs), np.ones((steps, num_envs), int)
        )
        before = np.stack([observed.obs["position_and_step"][:, 0] for observed in observations[:-1]])
        after, number = np.moveaxis(np.stack([made.obs["position_and_step"] for made in transitions[1:]]), -1, 0)
        free, wind = before < 999, after == before
        assert binomtest(int(wind[free].sum()), int(free.sum()), 0.25).pvalue > 1e-3
        # Frequencies of wind vary as much as independent ones by step number, environment and episode.
        environment = np.broadcast_to(np.arange(num_envs), wind.shape)
        episode = np.cumsum(number == 1, axis=0)
        for group in (number, environment, environment * steps + number, environment * steps + episode):
            frequencies = np.array([wind[free & (group == value)].mean() for value in np.unique(group[free])])
            expected = np.sqrt(0.25 * 0.75 * len(frequencies) / free.sum())
            assert 0.4 < frequencies.std() / expected < 1.6

    def test_initial_positions_are_uniform(self) -> None:
        _, _, observations = rollout(BatchedEnv(Wanderer(time_limit=1), 40), random_actions(60, 40))
        positions = np.concatenate([observed.obs["position_and_step"][:, 0] for observed in observations])
        assert chisquare(np.bincount(positions, minlength=ENV.length)).pvalue > 1e-3

    def test_initial_states_are_prepared_in_groups_and_only_where_used(self) -> None:
        num_envs = batched_env.RESETS_PER_GROUP + 4
        envs = BatchedEnv(Wanderer(time_limit=1000), num_envs)
        batch, _ = reset_all(envs)
        # All initial states have been used, and one group has been prepared since.
        missing, reset_ids = np.asarray(batch.missing), np.array(batch.prepared.obs["reset_id"])
        assert missing.sum() == 4

        one = np.arange(num_envs) == np.flatnonzero(missing)[0]
        batch, _ = envs.reset(batch, one)
        changed = (np.asarray(batch.prepared.obs["reset_id"]) != reset_ids)[:, 0]
        np.testing.assert_array_equal(changed, missing)
        np.testing.assert_array_equal(batch.missing, one)

    def test_a_larger_group_and_another_way_to_replace_rows_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a GPU, groups are larger and rows are replaced together; both are independent of the device."""
        rollouts = []
        for group, replace_rows in ((16, batch_functions._copy_rows), (40, batch_functions._select_rows)):
            monkeypatch.setattr(BatchedEnv, "_group", group)
            monkeypatch.setattr(batch_functions, "_replace_rows", replace_rows)
            batch_functions.start_episodes.clear_cache()
            rollouts.append(rollout(BatchedEnv(Wanderer(time_limit=3), 70), random_actions(9, 70)))
        batch_functions.start_episodes.clear_cache()
        assert sum(transition.dones.sum() for transition in rollouts[0][1]) > 2 * 70
        jax.tree.map(np.testing.assert_array_equal, *rollouts)

    def test_next_step_mode_ignores_the_actions_of_finished_environments(self) -> None:
        envs = JaxVectorEnv(ENV, NUM_ENVS)
        envs.reset(seed=0)
        dones, num_episodes = np.zeros(NUM_ENVS, dtype=bool), 0
        for row in random_actions(40):
            actions = np.where(dones, 99, row)
            obs, rewards, terminated, truncated, _ = envs.step(actions)
            steps = obs["position_and_step"][:, 1]
            assert (steps[dones] == 0).all() and (steps[~dones] > 0).all()
            assert not (rewards[dones] != 0).any() and not (terminated | truncated)[dones].any()
            dones = terminated | truncated
            num_episodes += int(dones.sum())
        assert num_episodes > 10


class TestContract:
    def test_single_environment(self) -> None:
        check_multigoal_env(JaxEnv(ENV), seed=0)
        check_env(JaxEnv(ENV), skip_render_check=True)
        check_sb3_env(JaxEnv(ENV))

    @pytest.mark.parametrize("mode", MODES)
    def test_vector_environment(self, mode: AutoresetMode) -> None:
        check_multigoal_vec_env(JaxVectorEnv(ENV, 3, autoreset_mode=mode), seed=0)

    def test_sb3_environment(self) -> None:
        check_multigoal_vec_env(JaxVecEnv(ENV, 3), seed=0)

    def test_returned_arrays_may_be_modified(self) -> None:
        envs = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP)
        untouched = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP)
        envs.reset(seed=0), untouched.reset(seed=0)
        for actions in random_actions(30):
            step = envs.step(actions)
            assert_same(step, untouched.step(actions))
            obs, *arrays, infos = step
            for array in (*obs.values(), *arrays, infos["goals_achieved"]):
                array[...] = 1

    def test_copies_and_pickles_continue_identically(self) -> None:
        envs = JaxVectorEnv(ENV, NUM_ENVS)
        envs.reset(seed=0)
        for actions in random_actions(7):
            envs.step(actions)
        others = [copy.deepcopy(envs), pickle.loads(pickle.dumps(envs))]
        for actions in random_actions(20, seed=1):
            expected = envs.step(actions)
            for other in others:
                assert_same(other.step(actions), expected)

    def test_equal_environments_compile_once(self) -> None:
        JaxVectorEnv(ENV, NUM_ENVS).warmup()
        before = batch_functions.step.inner._cache_size()
        envs = JaxVectorEnv(Wanderer(), NUM_ENVS)
        envs.reset(seed=0)
        envs.step(np.zeros(NUM_ENVS, dtype=np.int64))
        envs.step([1] * NUM_ENVS)
        assert batch_functions.step.inner._cache_size() == before

    def test_warmup_changes_nothing(self) -> None:
        warm, cold = JaxEnv(ENV), JaxEnv(ENV)
        warm.warmup()
        assert_same(warm.reset(seed=3), cold.reset(seed=3))

    def test_unseeded_environments_differ(self) -> None:
        envs = JaxVectorEnv(ENV, 8)
        reset_ids = np.concatenate([vector_env.reset()[0]["reset_id"] for vector_env in (envs, JaxVectorEnv(ENV, 8), envs)])
        assert len(np.unique(reset_ids)) == 24


class TestTorch:
    def test_tensors_share_the_memory_of_arrays(self) -> None:
        _, transition = BatchedEnv(ENV, 3).step(reset_all(BatchedEnv(ENV, 3))[0], np.ones(3, dtype=np.int32))
        tensors = to_torch(transition)
        assert tensors.goals_achieved.dtype == th.bool and tensors.obs["position_and_step"].dtype == th.int32
        jax.tree.map(lambda t, a: np.testing.assert_array_equal(t.numpy(), np.asarray(a)), tensors, transition)
        assert tensors.goals_achieved.data_ptr() == transition.goals_achieved.unsafe_buffer_pointer()


class TestBadInput:
    @pytest.mark.parametrize("num_envs", [0, -1, 2.0, True])
    def test_number_of_environments(self, num_envs: Any) -> None:
        for make in (BatchedEnv, JaxVectorEnv, JaxVecEnv):
            with pytest.raises((TypeError, ValueError), match="expected num_envs"):
                make(ENV, num_envs)

    def test_step_before_reset(self) -> None:
        with pytest.raises(ResetNeeded):
            JaxEnv(ENV).step(0)
        with pytest.raises(ResetNeeded):
            JaxVectorEnv(ENV, 2).step([0, 0])
        with pytest.raises(ResetNeeded):
            JaxVectorEnv(ENV, 2).reset(options={"reset_mask": np.array([True, False])})

    def test_step_after_the_episode_ended(self) -> None:
        env = JaxEnv(Wanderer(time_limit=1))
        env.reset(seed=0)
        env.step(1)
        with pytest.raises(ResetNeeded, match="has ended"):
            env.step(1)
        envs = JaxVectorEnv(Wanderer(time_limit=1), 2, autoreset_mode="Disabled")
        envs.reset(seed=0)
        envs.step([1, 1])
        with pytest.raises(ResetNeeded, match="reset_mask"):
            envs.step([1, 1])

    @pytest.mark.parametrize("action", [2, -1, 0.5, "left"])
    def test_actions(self, action: Any) -> None:
        env = JaxEnv(ENV)
        env.reset(seed=0)
        with pytest.raises(ValueError, match="action"):
            env.step(action)
        envs = JaxVectorEnv(ENV, 2)
        envs.reset(seed=0)
        with pytest.raises(ValueError, match="action"):
            envs.step([0, action])

    def test_autoreset_mode(self) -> None:
        with pytest.raises(ValueError, match="autoreset_mode"):
            JaxVectorEnv(ENV, 2, autoreset_mode="sometimes")

    @pytest.mark.filterwarnings("ignore:.*fork.*")
    def test_a_forked_process_raises(self) -> None:
        env = JaxEnv(ENV)
        env.reset(seed=0)
        child = os.fork()
        if child == 0:
            try:
                env.step(0)
            except RuntimeError as error:
                os._exit(0 if 'start_method="spawn"' in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class OldStyle:
    """gymnax's interface up to 0.0.x: a single ``done``."""

    def reset_env(self, key: jax.Array, params: int) -> tuple[jax.Array, jax.Array]:
        state = jnp.array([0, 0])
        return state, state

    def step_env(self, key: jax.Array, state: jax.Array, action: jax.Array, params: int) -> tuple[Any, ...]:
        state = state + jnp.stack([jnp.where(action == 1, 1, -1), jnp.int32(1)])
        done = (state[0] < 0) | (state[1] >= params)
        return state, state, jnp.float32(0.5), done, {"discount": 1.0}


class NewStyle(OldStyle):
    """gymnax's interface from 1.0 on: terminated and truncated."""

    def step_env(self, key: jax.Array, state: jax.Array, action: jax.Array, params: int) -> tuple[Any, ...]:
        obs, state, reward, _, info = super().step_env(key, state, action, params)
        fell = state[0] < 0
        return obs, state, reward, fell, (state[1] >= params) & ~fell, info


class TestGymnax:
    @staticmethod
    def make(env: OldStyle, **arguments: Any) -> GymnaxEnv:
        space = gym.spaces.Box(-1, 100, (2,), np.int32)
        return GymnaxEnv(
            env,
            3,
            ("at/1", "at/2"),
            lambda obs, state: jnp.arange(1, 3) == state[0],
            space,
            gym.spaces.Discrete(2),
            **arguments,
        )

    @pytest.mark.parametrize(
        "env",
        [make(OldStyle(), is_truncated=lambda state, params: (state[1] >= params) & (state[0] >= 0)), make(NewStyle())],
        ids=["old", "new"],
    )
    def test_terminated_and_truncated(self, env: GymnaxEnv) -> None:
        envs = JaxVectorEnv(env, 2, autoreset_mode=AutoresetMode.SAME_STEP)
        envs.reset(seed=0)
        _, rewards, terminated, truncated, infos = envs.step([1, 0])
        assert (rewards.tolist(), terminated.tolist(), truncated.tolist()) == ([0.5, 0.5], [False, True], [False, False])
        assert achieved_from_infos(infos, 2).tolist() == [[True, False], [False, False]]
        _, _, terminated, truncated, infos = envs.step([1, 1])
        assert achieved_from_infos(infos, 2).tolist() == [[False, True], [True, False]]
        obs, _, terminated, truncated, infos = envs.step([0, 1])
        assert (terminated.tolist(), truncated.tolist()) == ([False, False], [True, False])
        assert infos["final_obs"][0].tolist() == [1, 3] and obs.tolist() == [[0, 0], [2, 2]]

    def test_a_single_done_without_is_truncated_terminates(self) -> None:
        envs = JaxVectorEnv(self.make(OldStyle()), 1, autoreset_mode=AutoresetMode.SAME_STEP)
        envs.reset(seed=0)
        flags = [envs.step([1])[2:4] for _ in range(3)]
        assert np.array(flags)[..., 0].tolist() == [[False, False], [False, False], [True, False]]

    def test_other_environments_raise(self) -> None:
        with pytest.raises(TypeError, match="reset_env"):
            self.make(object())  # type: ignore[arg-type]
