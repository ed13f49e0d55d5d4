"""Tests of the Craftax environments: equivalence of all interfaces, termination, rendering, invalid input."""

import copy
import pickle
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as check_sb3_env

import leo_envs  # noqa: F401  (registers the ids)
from leo_envs.craftax import Craftax, CraftaxClassic, CraftaxEnv, CraftaxVectorEnv
from leo_envs.craftax.functional import TIME_LIMIT
from leo_wrappers import achieved_from_infos, check_multigoal_env
from leo_wrappers.jax_envs import BatchedEnv
from leo_wrappers.sb3 import JaxVecEnv
from tests.envs.vector_equivalence import assert_same, compare_rollouts
from tests.wanderer_env import step_and_reset

# Most of the time is compilation, which is slow on a busy machine.
pytestmark = pytest.mark.timeout(1200)

IDS = {"classic": "leo/CraftaxClassic-v0", "full": "leo/Craftax-v0"}
NUM_ENVS = 3
# A time limit short enough for several episodes; deaths are constructed.
SHORT = 6


@pytest.fixture(scope="module", params=["classic", "full"])
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def env() -> CraftaxEnv:
    return CraftaxEnv("classic", time_limit=SHORT, render_mode="rgb_array")


def with_dead_players(batch: Any, rows: np.ndarray) -> Any:
    """Return the batch with negative health of these players."""
    health = np.where(rows, -5, batch.states.player_health).astype(batch.states.player_health.dtype)
    return batch._replace(states=batch.states.replace(player_health=jax.numpy.asarray(health)))


class TestEquivalence:
    """Compilation dominates the run time, so that a single rollout tests all interfaces."""

    def test_batched_vector_and_sb3_environments_agree(self, variant: str) -> None:
        arguments = {"time_limit": SHORT}
        same_step = gym.make_vec(IDS[variant], NUM_ENVS, autoreset_mode=AutoresetMode.SAME_STEP, **arguments)
        functional = same_step.unwrapped.functional_env
        venv = JaxVecEnv(functional, NUM_ENVS)
        core = BatchedEnv(functional, NUM_ENVS)
        batch, first = core.reset(core.empty(core.keys([4, 5, 6])), np.ones(NUM_ENVS, dtype=bool))
        obs, infos = same_step.reset(seed=4)
        venv.seed(4)
        for ours in (obs, dict(venv.reset())):
            assert_same(ours, jax.device_get(first.obs))
        np.testing.assert_array_equal(infos["goals_achieved"], first.goals_achieved)
        generator = np.random.default_rng(0)
        episodes = 0
        for _ in range(2 * SHORT + 1):
            actions = generator.integers(functional.action_space.n, size=NUM_ENVS)
            batch, made, now = jax.device_get(step_and_reset(core, batch, actions))
            obs, rewards, terminated, truncated, infos = same_step.step(actions)
            sb3_obs, sb3_rewards, dones, sb3_infos = venv.step(actions)
            for ours in (obs, dict(sb3_obs)):
                assert_same(ours, now.obs)
            for ours in (rewards, sb3_rewards):
                np.testing.assert_array_equal(ours, made.rewards)
            for ours, theirs in ((terminated, made.terminated), (truncated, made.truncated), (dones, made.dones)):
                np.testing.assert_array_equal(ours, theirs)
            for ours in (infos, sb3_infos):
                np.testing.assert_array_equal(achieved_from_infos(ours, NUM_ENVS), made.goals_achieved)
            for row in np.flatnonzero(dones):
                last = {key: value[row] for key, value in made.obs.items()}
                assert_same(infos["final_obs"][row], last)
                assert_same(sb3_infos[row]["terminal_observation"], last)
                episodes += 1
        assert episodes == 2 * NUM_ENVS

    def test_a_world_is_the_same_alone_and_in_a_group(self) -> None:
        # Lanes of vector instructions differ with jaxlib 0.10.2, in groups of 16 and more.
        env, keys = CraftaxClassic(), jax.vmap(jax.random.PRNGKey)(np.arange(64))
        alone, together = jax.jit(env.reset), jax.device_get(jax.jit(jax.vmap(env.reset))(keys))
        for row, key in enumerate(keys):
            jax.tree.map(lambda a, b, row=row: np.testing.assert_array_equal(a, b[row]), jax.device_get(alone(key)), together)

    def test_equals_sync_vector_env_in_next_step_mode(self) -> None:
        # One variant is enough: the vector environment does not depend on it.
        native = gym.make_vec(IDS["classic"], NUM_ENVS, time_limit=SHORT)
        sync = gym.make_vec(IDS["classic"], NUM_ENVS, vectorization_mode="sync", time_limit=SHORT)
        assert compare_rollouts(native, sync, steps=2 * SHORT + 3, seed=1) >= NUM_ENVS


class TestTermination:
    @pytest.mark.parametrize(
        "functional", [CraftaxClassic(time_limit=SHORT), Craftax(time_limit=SHORT)], ids=["classic", "full"]
    )
    def test_death_terminates_and_time_limit_truncates(self, functional: Any) -> None:
        core = BatchedEnv(functional, NUM_ENVS)
        batch, _ = core.reset(core.empty(core.keys([0, 1, 2])), np.ones(NUM_ENVS, dtype=bool))
        noop = np.zeros(NUM_ENVS, dtype=np.int32)
        for _ in range(SHORT - 1):
            batch, made, _ = step_and_reset(core, batch, noop)
            assert not np.asarray(made.dones).any()
        # Death in the last step before the time limit is a termination.
        batch, made, _ = step_and_reset(core, with_dead_players(batch, np.array([False, True, False])), noop)
        assert np.asarray(made.terminated).tolist() == [False, True, False]
        assert np.asarray(made.truncated).tolist() == [True, False, True]
        assert np.asarray(batch.states.timestep).tolist() == [0, 0, 0]
        batch, made, _ = step_and_reset(core, with_dead_players(batch, np.array([True, False, False])), noop)
        assert np.asarray(made.terminated).tolist() == [True, False, False]
        assert not np.asarray(made.truncated).any()
        assert np.asarray(batch.states.timestep).tolist() == [0, 1, 1]

    def test_terminal_mask_is_of_final_state(self) -> None:
        functional = CraftaxClassic(time_limit=SHORT)
        core = BatchedEnv(functional, NUM_ENVS)
        batch, _ = core.reset(core.empty(core.keys([0, 1, 2])), np.ones(NUM_ENVS, dtype=bool))
        # The inventory contains wood at the end of an episode, but never at the start.
        inventory = batch.states.inventory.replace(wood=jax.numpy.full(NUM_ENVS, 3, dtype=batch.states.inventory.wood.dtype))
        batch = with_dead_players(
            batch._replace(states=batch.states.replace(inventory=inventory)), np.array([True, False, False])
        )
        batch, made, now = step_and_reset(core, batch, np.zeros(NUM_ENVS, dtype=np.int32))
        goal = functional.goal_names.index("inventory/wood_3")
        assert np.asarray(made.dones).tolist() == [True, False, False]
        assert np.asarray(made.goals_achieved)[:, goal].tolist() == [True, True, True]
        assert np.asarray(now.goals_achieved)[:, goal].tolist() == [False, True, True]

    def test_time_limit(self) -> None:
        assert CraftaxEnv("classic").functional_env.time_limit == TIME_LIMIT == 10_000
        limits = [(50, None, 50), (None, 40, 40), (50, 40, 40), (50, -1, 50), (None, None, None)]
        for time_limit, max_episode_steps, expected in limits:
            envs = CraftaxVectorEnv(2, "classic", time_limit=time_limit, max_episode_steps=max_episode_steps)
            assert envs.functional_env.time_limit == expected


class TestContract:
    def test_checkers(self, env: CraftaxEnv) -> None:
        # The observation is partial but determines all goals.
        check_multigoal_env(env, seed=0)
        check_env(env, skip_render_check=True)
        check_sb3_env(env)

    def test_copy_and_pickle_during_episode(self, env: CraftaxEnv) -> None:
        env.reset(seed=0)
        env.step(1)
        others = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
        expected = env.step(3)
        for other in others:
            assert data_equivalence(other.step(3), expected, exact=True)

    def test_spec_round_trip(self) -> None:
        env = gym.make("leo/CraftaxClassic-v0", time_limit=SHORT, goals=["inventory/wood_1", "tools/wood_pickaxe"])
        again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
        assert again.unwrapped.functional_env == env.unwrapped.functional_env
        assert again.unwrapped.goal_names == ("inventory/wood_1", "tools/wood_pickaxe")

    def test_descriptors_are_unique(self, env: CraftaxEnv) -> None:
        assert len(np.unique(env.goal_set.descriptors, axis=0)) == 136

    def test_subset_of_goals_equals_columns(self) -> None:
        state = jax.jit(CraftaxClassic().reset)(jax.random.PRNGKey(0))
        chosen = ("block_map/GRASS_up", 0, "mob_map/cow_left")
        few = jax.jit(CraftaxClassic(goals=chosen).reset)(jax.random.PRNGKey(0))
        ids = [CraftaxClassic().goal_set.index(goal) for goal in chosen]
        np.testing.assert_array_equal(few[2], state[2][np.array(ids)])


class TestRendering:
    def test_commanded_goal_is_written_below_frame(self, env: CraftaxEnv) -> None:
        env.reset(seed=0)
        frame = env.render()
        env.set_commanded_goal(0)
        captioned = env.render()
        env.set_commanded_goal(5)
        other = env.render()
        assert captioned.dtype == np.uint8 and captioned.shape[0] > frame.shape[0]
        np.testing.assert_array_equal(captioned[: len(frame)], frame)
        assert (captioned[len(frame) :] != other[len(frame) :]).any()
        env.set_commanded_goal(None)
        np.testing.assert_array_equal(env.render(), frame)

    def test_vector_environment_renders_like_single_environment(self, env: CraftaxEnv) -> None:
        envs = gym.make_vec("leo/CraftaxClassic-v0", NUM_ENVS, render_mode="rgb_array", time_limit=SHORT)
        envs.reset(seed=0)
        envs.unwrapped.set_commanded_goals([3, 4, 5])
        env.reset(seed=1)
        env.set_commanded_goal(4)
        np.testing.assert_array_equal(envs.render()[1], env.render())


class TestPlay:
    def test_every_action_has_exactly_one_key(self, variant: str) -> None:
        env = CraftaxEnv(variant)
        actions = list(env.get_keys_to_action().values())
        assert sorted(actions) == list(range(env.action_space.n))

    def test_every_action_has_a_name(self, variant: str) -> None:
        env = CraftaxEnv(variant)
        assert len(env.action_names) == env.action_space.n
        assert env.action_names[env.get_keys_to_action()[("t",)]] == "place table"


class TestInvalidInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"observation": "smells"}, "compact"),
            ({"goals": ["inventory/wod_1"]}, "inventory/wood_1"),
            ({"goals": [136]}, "from 0 to 135"),
            ({"goals": []}, "at least one goal"),
            ({"time_limit": 0}, "time_limit"),
            ({"render_mode": "ansi"}, "render_mode"),
            ({"variant": "chess"}, "classic"),
        ],
    )
    def test_invalid_arguments_raise(self, arguments: dict[str, Any], message: str) -> None:
        for make in (CraftaxEnv, CraftaxVectorEnv):
            with pytest.raises(ValueError, match=message):
                make(**{"variant": "classic", **arguments})

    def test_invalid_num_envs_raises(self) -> None:
        with pytest.raises(ValueError, match="num_envs"):
            CraftaxVectorEnv(0)
