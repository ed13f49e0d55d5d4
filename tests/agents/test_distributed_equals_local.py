"""Actors and learner in one process, without Ray: what they learn follows exactly from when blocks and weights are sent."""

import sys
from functools import partial

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import set_random_seed

import leo_envs  # noqa: F401
from leo_agents import LEODQN, LEOSAC, LEOTD3
from leo_agents.distributed import DistributedLearning, distributed_learning
from tests.agents.in_process_ray import InProcessRay

GRIDWORLD = partial(make_vec_env, "leo/GridWorld-v0", n_envs=2, env_kwargs={"map": "maze", "size": 9, "time_limit": 30})
MOUNTAIN_CAR = partial(make_vec_env, "leo/MountainCarContinuous-v0", n_envs=2)
SMALL = {"learning_starts": 100, "batch_size": 32, "buffer_size": 2_000, "policy_kwargs": {"net_arch": [32]}, "device": "cpu"}


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", InProcessRay())


def restart(model) -> None:
    """Seed everything that a training draws random numbers from, and start with the first reset."""
    model.env.seed(7)
    model.goal_sampler.goal_selector.seen[:] = False
    model._last_obs = None
    model._setup_learn(0)
    model.action_space.seed(7)
    set_random_seed(7)


def parameters(model) -> list[np.ndarray]:
    return [value.numpy() for value in model.policy.state_dict().values()]


@pytest.mark.parametrize(
    ("algorithm", "make_env", "options"),
    [
        (LEODQN, GRIDWORLD, {"goal_selector": "least_achieved"}),
        (LEODQN, GRIDWORLD, {"train_freq": 3, "gradient_steps": -1}),
        (LEODQN, GRIDWORLD, {"replay_ratio": 0.3}),
        (LEOTD3, MOUNTAIN_CAR, {}),
        (LEOSAC, MOUNTAIN_CAR, {}),
    ],
)
def test_one_actor_without_lag_learns_bit_for_bit_as_one_process(algorithm, make_env, options, monkeypatch):
    monkeypatch.setattr(distributed_learning, "_BLOCKS_AHEAD", 1)
    options = {**SMALL, "train_freq": 4, "n_steps": 1, **options}
    local, model = (algorithm("MultiGoalPolicy", make_env(), seed=0, **options) for _ in range(2))
    restart(local)
    local.learn(960, reset_num_timesteps=False)
    with DistributedLearning(model, make_env, 1, steps_per_block=options["train_freq"]) as distributed:
        # The learner's environment is reset too, from which goals are known.
        restart(model)
        restart(distributed._pool.actors[0].inner._model)
        distributed.learn(960, reset_num_timesteps=False)
    assert model.num_timesteps == local.num_timesteps == 960 and model._n_updates == local._n_updates > 0
    assert all(np.array_equal(*pair) for pair in zip(parameters(model), parameters(local), strict=True))
    for name in ("actions", "goal_ids", "packed_masks", "rewards"):
        assert np.array_equal(getattr(model.replay_buffer, name), getattr(local.replay_buffer, name))
    selector, expected = model.goal_sampler.goal_selector, local.goal_sampler.goal_selector
    for name in ("seen", "attempts", "successes"):
        assert np.array_equal(getattr(selector, name), getattr(expected, name)) and getattr(selector, name).any()


@pytest.mark.parametrize("num_actors", [1, 3])
def test_weights_are_never_older_than_the_blocks_ahead(num_actors):
    model = LEODQN("MultiGoalPolicy", GRIDWORLD(), seed=0, train_freq=4, **SMALL)
    lags = []
    with DistributedLearning(model, GRIDWORLD, num_actors, steps_per_block=8) as distributed:
        store = distributed._store
        distributed._store = lambda block: (lags.append(model._n_updates - block.version), store(block))
        distributed.learn(1_920)
    # A block has two gradient steps; the blocks requested earlier are trained on in between.
    assert max(lags) == 2 * (distributed_learning._BLOCKS_AHEAD * num_actors - 1)


@pytest.mark.parametrize("n_steps", [1, 3])
def test_less_than_an_eighth_of_the_windows_end_with_their_block(n_steps):
    model = LEODQN("MultiGoalPolicy", GRIDWORLD(), seed=0, n_steps=n_steps, **SMALL)
    with DistributedLearning(model, GRIDWORLD, 2) as distributed:
        distributed.learn(960)
        assert (n_steps - 1) / distributed.steps_per_block < 1 / 8
    block_ends = np.arange(1, 481) % distributed.steps_per_block == 0
    buffer = model.replay_buffer
    assert model.num_timesteps == 960 and buffer.pos == 480
    assert buffer.dones[:480][block_ends].all() and buffer.timeouts[:480][block_ends].all()
    assert not buffer.dones[:480][~block_ends].all()


def test_actors_know_the_goals_that_others_have_seen():
    model = LEODQN("MultiGoalPolicy", GRIDWORLD(), seed=0, **SMALL)
    with DistributedLearning(model, GRIDWORLD, 2) as distributed:
        distributed.learn(96)
        actors = [actor.inner._model.goal_sampler.goal_selector for actor in distributed._pool.actors]
        unknown = int(np.flatnonzero(~(actors[0].seen | actors[1].seen))[-1])
        model.goal_sampler.goal_selector.seen[unknown] = True
        own = [actor.seen.copy() for actor in actors]
        distributed.learn(96, reset_num_timesteps=False)
        for actor, before in zip(actors, own, strict=True):
            assert actor.seen[unknown] and actor.seen[before].all()
