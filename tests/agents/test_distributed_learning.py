"""Actors and learner: what arrives, how much is trained, what happens if processes die."""

import os
import signal
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env

import leo_envs  # noqa: F401
from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, ExactCheckpoints, resume
from leo_agents.distributed import DistributedLearning
from leo_agents.distributed.distributed_learning import _BLOCKS_AHEAD
from leo_agents.evaluation import evaluate_goals

GRIDWORLD = "leo_envs:leo/GridWorld-v0"


def make(n_envs: int = 2):
    """Return a function that creates the environments of an actor."""
    return partial(make_vec_env, GRIDWORLD, n_envs=n_envs)


def leodqn(**options: object) -> LEODQN:
    options = {"learning_starts": 200, "buffer_size": 2_000, "seed": 0, **options}
    return LEODQN("MultiGoalPolicy", make()(), **options)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def start(model, make_env=None, **options: object) -> DistributedLearning:
    options = {"num_actors": 2, "num_cpus": 0.1, "steps_per_block": 16, **options}
    return DistributedLearning(model, make_env or make(), **options)


def logged(model) -> dict[str, list[float]]:
    """Record what a model logs from now on."""
    values: dict[str, list[float]] = {}
    write = model.dump_logs

    def dump_logs() -> None:
        for name, value in model.logger.name_to_value.items():
            values.setdefault(name, []).append(value)
        write()

    model.dump_logs = dump_logs
    return values


def stored(model, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the next observations and the masks of the first steps."""
    buffer = model.replay_buffer
    masks = np.unpackbits(buffer.packed_masks[:steps], axis=2, count=len(model.goal_names)).astype(bool)
    obs = buffer.next_observations["observation"][:steps]
    return obs.reshape(-1, obs.shape[-1]), masks.reshape(-1, masks.shape[-1])


def test_transitions_of_all_actors_are_stored_and_trained_on():
    model = leodqn(n_steps=3)
    with start(model) as distributed:
        values = logged(model)
        distributed.learn(960, log_interval=1)
    assert model.num_timesteps == 960 and model.replay_buffer.pos == 480
    # Blocks after the first 200 steps; a gradient step for 4 steps of 2 environments.
    assert model._n_updates == (960 - 192) // 8
    buffer = model.replay_buffer
    block_ends = np.arange(15, 480, 16)
    assert buffer.dones[block_ends].all() and buffer.timeouts[block_ends].all()
    selector = model.goal_sampler.goal_selector
    assert not (stored(model, 480)[1].any(axis=0) & ~selector.seen).any()
    assert selector.attempts.sum() > 0 and selector.successes.sum() <= selector.attempts.sum()
    assert 0 < max(values["distributed/lag"]) <= _BLOCKS_AHEAD * 2 * 8
    assert all(0 <= value <= 1 for value in values["distributed/waiting"]) and values["distributed/restarts"][-1] == 0


def test_stored_transitions_are_those_of_the_environment():
    """In GridWorld, the mask of a transition is a function of the next observation."""
    model = leodqn()
    with start(model) as distributed:
        distributed.learn(320)
    observations, masks = stored(model, 160)
    env = gym.make(GRIDWORLD)
    known = {obs.tobytes(): info["goals_achieved"] for obs, info in (env.reset(seed=seed) for seed in range(300))}
    compared = [
        np.array_equal(mask, known[obs.tobytes()])
        for obs, mask in zip(observations, masks, strict=True)
        if obs.tobytes() in known
    ]
    assert len(compared) > 10 and all(compared)


@pytest.mark.parametrize("algorithm", [LEOTD3, LEOSAC])
def test_continuous_actions(algorithm):
    pytest.importorskip("gymnasium_robotics")
    make_env = partial(make_vec_env, "leo_envs:leo/FetchReach-v0", n_envs=1, env_kwargs={"resolution": 2})
    model = algorithm("MultiGoalPolicy", make_env(), learning_starts=50, buffer_size=1_000, seed=0)
    before = [weight.clone() for weight in model.actor.parameters()]
    with start(model, make_env) as distributed:
        distributed.learn(128)
    assert model.num_timesteps == 128 and model._n_updates > 0
    assert any(not weight.equal(old) for weight, old in zip(model.actor.parameters(), before, strict=True))


def test_actors_act_with_the_weights_of_the_learner():
    model = leodqn(learning_starts=0, exploration_initial_eps=0.0, exploration_final_eps=0.0, gradient_steps=0)
    with start(model) as distributed:
        distributed.learn(64)
    buffer = model.replay_buffer
    for step in range(32):
        obs = {"observation": buffer.observations["observation"][step], "goal_id": buffer.goal_ids[step]}
        np.testing.assert_array_equal(model.predict(obs, deterministic=True)[0], buffer.actions[step].reshape(-1))


def test_actors_explore_differently():
    model = leodqn(learning_starts=1_000)
    with start(model) as distributed:
        distributed.learn(64)
    first, second = np.split(model.replay_buffer.actions[:32], 2)
    assert not np.array_equal(first, second)


def test_a_goal_selector_reaches_the_actors():
    model = leodqn(goal_selector="cell/0,0")
    with start(model) as distributed:
        distributed.learn(64)
    assert (model.replay_buffer.goal_ids[:32] == model.goal_names.index("cell/0,0")).all()


def test_a_killed_actor_comes_back(tmp_path):
    folder = str(tmp_path)

    # Nested functions are sent by value: actors cannot import the tests.
    def make_env():
        open(os.path.join(folder, str(os.getpid())), "w").close()
        return make_vec_env(GRIDWORLD, n_envs=2)

    model = leodqn()
    with start(model, make_env) as distributed:
        os.kill(int(os.listdir(folder)[0]), signal.SIGKILL)
        with pytest.warns(UserWarning, match="died and was restarted"):
            distributed.learn(2_000)
    assert model.num_timesteps == 2_016 and len(os.listdir(folder)) == 3


def test_a_learner_continues_from_a_checkpoint(tmp_path):
    model = leodqn(learning_starts=10_000)
    with start(model) as distributed:
        distributed.learn(640, ExactCheckpoints(tmp_path, save_freq=200))
    resumed = resume(LEODQN, tmp_path)
    steps = resumed.num_timesteps
    assert 400 <= steps < 640 and resumed.replay_buffer.pos == steps // 2
    with start(resumed) as distributed:
        distributed.learn(640 - steps, reset_num_timesteps=False)
    assert resumed.num_timesteps == 640 and resumed.replay_buffer.pos == 320
    # The random actions of the new actors are not those of the first ones again.
    blocks = [block.tobytes() for block in resumed.replay_buffer.actions[:320].reshape(20, 32)]
    assert len(set(blocks)) == 20


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda: 3, {}, "pass a LEODQN"),
        (lambda: LEOPQN("MultiGoalPolicy", make()(), n_steps=8), {}, "pass a LEODQN"),
        (lambda: LEODQN("MultiGoalPolicy", make(1)(), train_freq=(1, "episode")), {}, "train_freq in steps"),
        (lambda: leodqn(), {"steps_per_block": 0}, "steps_per_block"),
        (lambda: leodqn(), {"num_actors": None}, "num_actors"),
        (lambda: leodqn(), {"make_env": make(3)}, "expected 2 parallel environments in each actor"),
        (lambda: leodqn(), {"make_env": partial(make_vec_env, "CartPole-v1")}, "goal"),
    ],
)
def test_bad_input(model, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        start(model(), **options)


@pytest.mark.expensive
def test_learning_from_actors():
    model = leodqn(buffer_size=50_000)
    with start(model) as distributed:
        distributed.learn(20_000)
    # The order of the blocks is random; of 180 goals, 171 are reachable.
    assert evaluate_goals(model, gym.make(GRIDWORLD), seed=0, max_steps=100).mean_success > 0.75
