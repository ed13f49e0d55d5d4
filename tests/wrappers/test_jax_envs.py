"""The batched core of functional environments and its shells over one walker whose observations tell everything."""

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
from leo_wrappers.jax_envs import BatchedEnv, BatchState, GymnaxEnv, JaxEnv, JaxVectorEnv, Transition, to_torch
from leo_wrappers.jax_envs import batched_env as core
from leo_wrappers.sb3 import JaxVecEnv
from tests.envs.vector_equivalence import assert_same, compare_rollouts
from tests.wanderer_env import Wanderer

ENV = Wanderer()
NUM_ENVS = 5
MODES = list(AutoresetMode)


def begin(envs: BatchedEnv, seed: int = 0) -> tuple[BatchState, Any]:
    keys = envs.keys(list(range(seed, seed + envs.num_envs)))
    return envs.reset(envs.empty(keys), np.ones(envs.num_envs, dtype=bool))


def roll(envs: BatchedEnv, actions: np.ndarray, seed: int = 0) -> tuple[Any, list[Transition], list[Any]]:
    """The first observation, and every transition and what is shown after it."""
    batch, first = begin(envs, seed)
    transitions, shown = [], []
    for row in actions:
        batch, transition, now = envs.step(batch, row)
        transitions.append(jax.device_get(transition))
        shown.append(jax.device_get(now))
    return jax.device_get(first), transitions, shown


def random_actions(steps: int, num_envs: int = NUM_ENVS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, size=(steps, num_envs))


class TestEqualTrajectories:
    @pytest.mark.parametrize("mode", MODES)
    def test_each_row_is_the_single_environment_with_its_seed(self, mode: AutoresetMode) -> None:
        ours = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=mode)
        theirs = SyncVectorEnv([lambda: JaxEnv(ENV)] * NUM_ENVS, autoreset_mode=mode)
        assert compare_rollouts(ours, theirs, steps=60, seed=3) > 20

    def test_a_masked_reset_is_the_one_of_single_environments(self) -> None:
        ours = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=AutoresetMode.DISABLED)
        theirs = SyncVectorEnv([lambda: JaxEnv(ENV)] * NUM_ENVS, autoreset_mode=AutoresetMode.DISABLED)
        resets = {2: np.array([True, False, False, True, False]), 7: np.array([False, True, False, False, False])}
        compare_rollouts(ours, theirs, steps=20, seed=5, resets=resets)

    @pytest.mark.parametrize("seeds", [[7, None, None, 2, None], [1, 2, 3, 4, 5]])
    def test_some_rows_can_be_reseeded(self, seeds: list[int | None]) -> None:
        envs = JaxVectorEnv(ENV, NUM_ENVS)
        envs.reset(seed=11)
        obs, _ = envs.reset(seed=seeds)
        for row, seed in enumerate(seeds):
            single = JaxEnv(ENV)
            single.reset(seed=11 + row)
            expected, _ = single.reset(seed=seed)
            assert_same({key: value[row] for key, value in obs.items()}, expected)

    def test_the_core_the_vector_environment_and_the_sb3_one_agree(self) -> None:
        actions = random_actions(40)
        _, transitions, shown = roll(BatchedEnv(ENV, NUM_ENVS), actions, seed=9)
        vector_env = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP)
        vector_env.reset(seed=9)
        venv = JaxVecEnv(ENV, NUM_ENVS)
        venv.seed(9)
        venv.reset()
        for step, row in enumerate(actions):
            obs, rewards, terminated, truncated, infos = vector_env.step(row)
            sb3_obs, sb3_rewards, dones, sb3_infos = venv.step(row)
            made, now = transitions[step], shown[step]
            assert_same(obs, now.obs)
            assert_same(dict(sb3_obs), now.obs)
            np.testing.assert_array_equal(rewards, made.rewards)
            np.testing.assert_array_equal(sb3_rewards, made.rewards)
            np.testing.assert_array_equal(terminated, made.terminated)
            np.testing.assert_array_equal(truncated, made.truncated)
            np.testing.assert_array_equal(dones, made.ended)
            np.testing.assert_array_equal(achieved_from_infos(infos, NUM_ENVS), made.goals_achieved)
            np.testing.assert_array_equal(achieved_from_infos(sb3_infos, NUM_ENVS), made.goals_achieved)
            for number in np.flatnonzero(dones):
                last = {key: value[number] for key, value in made.obs.items()}
                assert_same(infos["final_obs"][number], last)
                assert_same(sb3_infos[number]["terminal_observation"], last)
                assert sb3_infos[number]["TimeLimit.truncated"] == made.truncated[number]
                np.testing.assert_array_equal(sb3_infos[number]["goals_achieved"], made.goals_achieved[number])

    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=30))
    def test_an_environment_does_not_notice_the_others(self, others: list[list[int]]) -> None:
        mine = random_actions(len(others), 1, seed=4)[:, 0]
        envs = BatchedEnv(ENV, 4)
        _, alone, alone_shown = roll(envs, np.column_stack([mine, *np.zeros((3, len(others)), dtype=int)]))
        _, among, among_shown = roll(envs, np.column_stack([mine, np.array(others)]))
        for first, second in zip((*alone, *alone_shown), (*among, *among_shown), strict=True):
            jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[0]), first, second)


class TestEnds:
    def test_what_a_transition_shows_is_of_the_episode_that_ended(self) -> None:
        first, transitions, shown = roll(BatchedEnv(ENV, NUM_ENVS), random_actions(80))
        world, elapsed = first.obs["world"], np.zeros(NUM_ENVS, dtype=int)
        ends = 0
        for made, now in zip(transitions, shown, strict=True):
            elapsed += 1
            np.testing.assert_array_equal(made.obs["world"], world)
            np.testing.assert_array_equal(made.obs["place"][:, 1], elapsed)
            position = made.obs["place"][:, 0]
            np.testing.assert_array_equal(made.goals_achieved, np.arange(ENV.length) == position[:, None])
            np.testing.assert_array_equal(made.terminated, position < 0)
            np.testing.assert_array_equal(made.truncated, (elapsed >= ENV.time_limit) & (position >= 0))
            fresh = now.obs["world"][:, 0]
            assert (fresh[made.ended] != world[made.ended, 0]).all()
            np.testing.assert_array_equal(now.obs["place"][made.ended, 0], fresh[made.ended] % ENV.length)
            start_masks = np.arange(ENV.length) == (fresh % ENV.length)[:, None]
            np.testing.assert_array_equal(now.goals_achieved[made.ended], start_masks[made.ended])
            jax.tree.map(lambda a, b, run=~made.ended: np.testing.assert_array_equal(a[run], b[run]), now.obs, made.obs)
            elapsed[made.ended] = 0
            world = now.obs["world"]
            ends += int(made.ended.sum())
        assert ends > 20

    def test_all_end_at_every_step_and_no_world_comes_twice(self) -> None:
        num_envs = 2 * core.WORLDS_PER_GROUP + 3
        first, transitions, shown = roll(BatchedEnv(Wanderer(time_limit=1), num_envs), random_actions(12, num_envs))
        assert all(made.ended.all() for made in transitions)
        worlds = np.concatenate([first.obs["world"], *(now.obs["world"] for now in shown)]).ravel()
        assert len(np.unique(worlds)) == 13 * num_envs

    def test_the_wind_is_new_at_every_step_of_every_episode(self) -> None:
        # Away from the right end, a step forward without wind moves by one, and with wind by none.
        num_envs, steps = 40, 60
        _, transitions, shown = roll(
            BatchedEnv(Wanderer(length=1000, time_limit=4), num_envs), np.ones((steps, num_envs), int)
        )
        before = np.stack([now.obs["place"][:, 0] for now in shown[:-1]])
        after, number = np.moveaxis(np.stack([made.obs["place"] for made in transitions[1:]]), -1, 0)
        free, wind = before < 999, after == before
        assert binomtest(int(wind[free].sum()), int(free.sum()), 0.25).pvalue > 1e-3
        # Neither a step's number, nor an environment, nor an episode of it decides about the wind.
        environment = np.broadcast_to(np.arange(num_envs), wind.shape)
        episode = np.cumsum(number == 1, axis=0)
        for same in (number, environment, environment * steps + number, environment * steps + episode):
            shares = np.array([wind[free & (same == value)].mean() for value in np.unique(same[free])])
            expected = np.sqrt(0.25 * 0.75 * len(shares) / free.sum())
            assert 0.4 < shares.std() / expected < 1.6

    def test_starts_are_uniform(self) -> None:
        _, _, shown = roll(BatchedEnv(Wanderer(time_limit=1), 40), random_actions(60, 40))
        starts = np.concatenate([now.obs["place"][:, 0] for now in shown])
        assert chisquare(np.bincount(starts, minlength=ENV.length)).pvalue > 1e-3

    def test_worlds_are_made_ahead_in_groups_and_only_where_used(self) -> None:
        num_envs = core.WORLDS_PER_GROUP + 4
        envs = BatchedEnv(Wanderer(time_limit=1000), num_envs)
        batch, _ = begin(envs)
        # All spares have been used, and one group has been made since.
        missing, spares = np.asarray(batch.missing), np.array(batch.spares.obs["world"])
        assert missing.sum() == 4

        batch, _, _ = envs.step(batch, np.ones(num_envs, dtype=np.int32))
        np.testing.assert_array_equal(batch.spares.obs["world"], spares)
        np.testing.assert_array_equal(batch.missing, missing)

        one = np.arange(num_envs) == np.flatnonzero(missing)[0]
        batch, _ = envs.reset(batch, one)
        renewed = (np.asarray(batch.spares.obs["world"]) != spares)[:, 0]
        np.testing.assert_array_equal(renewed, missing)
        np.testing.assert_array_equal(batch.missing, one)

    def test_the_next_step_mode_drops_nothing_but_the_action_of_ended_rows(self) -> None:
        envs = JaxVectorEnv(ENV, NUM_ENVS)
        envs.reset(seed=0)
        ended, ends = np.zeros(NUM_ENVS, dtype=bool), 0
        for row in random_actions(40):
            actions = np.where(ended, 99, row)  # nobody looks at these
            obs, rewards, terminated, truncated, _ = envs.step(actions)
            assert (obs["place"][ended, 1] == 0).all() and (obs["place"][~ended, 1] > 0).all()
            assert not (rewards[ended] != 0).any() and not (terminated | truncated)[ended].any()
            ended = terminated | truncated
            ends += int(ended.sum())
        assert ends > 10


class TestContract:
    def test_single_environment(self) -> None:
        # The wind is in no observation, but the mask is: position decides.
        check_multigoal_env(JaxEnv(ENV), seed=0)
        check_env(JaxEnv(ENV), skip_render_check=True)
        check_sb3_env(JaxEnv(ENV))

    @pytest.mark.parametrize("mode", MODES)
    def test_vector_environment(self, mode: AutoresetMode) -> None:
        check_multigoal_vec_env(JaxVectorEnv(ENV, 3, autoreset_mode=mode), seed=0)

    def test_sb3_environment(self) -> None:
        check_multigoal_vec_env(JaxVecEnv(ENV, 3), seed=0)

    def test_arrays_handed_out_are_ones_own(self) -> None:
        envs = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP)
        untouched = JaxVectorEnv(ENV, NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP)
        envs.reset(seed=0), untouched.reset(seed=0)
        for actions in random_actions(30):
            step = envs.step(actions)
            assert_same(step, untouched.step(actions))
            obs, *arrays, infos = step
            for array in (*obs.values(), *arrays, infos["goals_achieved"]):
                array[...] = 1

    def test_copies_and_pickles_go_on_alike(self) -> None:
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
        before = core._step._cache_size()
        envs = JaxVectorEnv(Wanderer(), NUM_ENVS)
        envs.reset(seed=0)
        envs.step(np.zeros(NUM_ENVS, dtype=np.int64))
        envs.step([1] * NUM_ENVS)
        assert core._step._cache_size() == before

    def test_warmup_changes_nothing(self) -> None:
        warm, cold = JaxEnv(ENV), JaxEnv(ENV)
        warm.warmup()
        assert_same(warm.reset(seed=3), cold.reset(seed=3))

    def test_unseeded_environments_differ(self) -> None:
        envs = JaxVectorEnv(ENV, 8)
        worlds = np.concatenate([envs.reset()[0]["world"], JaxVectorEnv(ENV, 8).reset()[0]["world"], envs.reset()[0]["world"]])
        assert len(np.unique(worlds)) == 24


class TestTorch:
    def test_tensors_are_the_arrays_without_a_copy(self) -> None:
        _, made, _ = BatchedEnv(ENV, 3).step(begin(BatchedEnv(ENV, 3))[0], np.ones(3, dtype=np.int32))
        tensors = to_torch(made)
        assert tensors.goals_achieved.dtype == th.bool and tensors.obs["place"].dtype == th.int32
        jax.tree.map(lambda t, a: np.testing.assert_array_equal(t.numpy(), np.asarray(a)), tensors, made)
        assert tensors.goals_achieved.data_ptr() == made.goals_achieved.unsafe_buffer_pointer()


class TestBadInput:
    @pytest.mark.parametrize("num_envs", [0, -1, 2.0, True])
    def test_number_of_environments(self, num_envs: Any) -> None:
        for make in (BatchedEnv, JaxVectorEnv, JaxVecEnv):
            with pytest.raises(ValueError, match="num_envs to be a positive integer"):
                make(ENV, num_envs)

    def test_step_before_reset(self) -> None:
        with pytest.raises(ResetNeeded):
            JaxEnv(ENV).step(0)
        with pytest.raises(ResetNeeded):
            JaxVectorEnv(ENV, 2).step([0, 0])
        with pytest.raises(ResetNeeded):
            JaxVectorEnv(ENV, 2).reset(options={"reset_mask": np.array([True, False])})

    def test_step_after_the_end(self) -> None:
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
    def test_a_fork_is_refused(self) -> None:
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
    """gymnax's interface up to 0.0.x: one ``done``, and state and parameters apart."""

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
    def make(rules: OldStyle, **arguments: Any) -> GymnaxEnv:
        space = gym.spaces.Box(-1, 100, (2,), np.int32)
        return GymnaxEnv(
            rules,
            3,
            ("at/1", "at/2"),
            lambda obs, state: jnp.arange(1, 3) == state[0],
            space,
            gym.spaces.Discrete(2),
            **arguments,
        )

    @pytest.mark.parametrize(
        "env",
        [make(OldStyle(), is_time_over=lambda state, params: (state[1] >= params) & (state[0] >= 0)), make(NewStyle())],
        ids=["old", "new"],
    )
    def test_ends_are_told_apart(self, env: GymnaxEnv) -> None:
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

    def test_one_done_without_a_rule_is_an_end(self) -> None:
        envs = JaxVectorEnv(self.make(OldStyle()), 1, autoreset_mode=AutoresetMode.SAME_STEP)
        envs.reset(seed=0)
        ends = [envs.step([1])[2:4] for _ in range(3)]
        assert [(bool(end[0][0]), bool(end[1][0])) for end in ends] == [(False, False), (False, False), (True, False)]

    def test_another_kind_of_environment_is_refused(self) -> None:
        with pytest.raises(TypeError, match="reset_env"):
            self.make(object())  # type: ignore[arg-type]
