"""LEODQN: equality with DQN, exact values, Stable-Baselines3's interface, invalid arguments."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3 import DQN, HerReplayBuffer
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from torch.nn import functional as F

import leo_envs  # noqa: F401
from leo_agents import LEODQN
from leo_agents.leo_dqn import LEODQNPolicy
from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper, PredicateGoals, SeenGoals
from leo_wrappers.sb3 import VecGoalSampler
from tests.line_env import LineEnv, line_goals, make_line

SMALL = {"learning_starts": 32, "batch_size": 32, "buffer_size": 2_000, "policy_kwargs": {"net_arch": [32]}, "device": "cpu"}


def make_model(env=None, **kwargs):
    return LEODQN("MultiGoalPolicy", env or make_line(), **{**SMALL, "seed": 0, **kwargs})


def weights(model):
    return th.cat([parameter.detach().flatten() for parameter in model.policy.parameters()]).numpy()


# --------------------------------------------------------------------------------------------------------------------------
# Equality with DQN, and exact values


def test_one_goal_equals_dqn_with_success_as_done():
    """Compare the loss and its gradients on the same weights and transitions."""
    goal = PredicateGoals({"end": lambda s: s[..., 0] >= 3}, signal_shape=(1,))
    env = MultiGoalWrapper(LineEnv(trap=4, horizon=6), goal)
    plain = {"net_arch": [16], "layer_norm": False, "squash": False, "normalize_observations": False}
    leo = LEODQN("MultiGoalPolicy", env, loss="squared", **{**SMALL, "learning_starts": 100, "policy_kwargs": plain}, seed=0)
    leo.learn(100)
    dqn = DQN("MlpPolicy", LineEnv(), policy_kwargs={"net_arch": [16]}, device="cpu")
    trunk, head = leo.q_net.trunk, leo.q_net.head
    with th.no_grad():  # DQN's Huber loss equals the squared loss only for errors below 1
        for network in (leo.q_net, leo.q_net_target):
            network.head.weight *= 0.1
            network.head.bias.fill_(0.5)
    for ours, theirs in ((leo.q_net, dqn.q_net), (leo.q_net_target, dqn.q_net_target)):
        theirs.load_state_dict(
            {
                "q_net.0.weight": ours.trunk[0].weight,
                "q_net.0.bias": ours.trunk[0].bias,
                "q_net.2.weight": ours.head.weight[:, 0],
                "q_net.2.bias": ours.head.bias[:, 0],
            }
        )
    batch = leo.replay_buffer.sample(64)
    assert 0 < batch.goals_achieved.sum() < 64
    loss = leo.learner.loss(batch.observations, batch.actions, leo.learner.targets(batch))
    loss.backward()
    obs, next_obs = batch.observations["observation"], batch.next_observations["observation"]
    with th.no_grad():
        done = th.maximum(batch.dones, batch.goals_achieved)
        target = batch.goals_achieved + (1 - done) * 0.99 * dqn.q_net_target(next_obs).max(dim=1, keepdim=True).values
    expected = F.smooth_l1_loss(dqn.q_net(obs).gather(1, batch.actions.long()), target)
    expected.backward()
    th.testing.assert_close(loss, expected)
    th.testing.assert_close(trunk[0].weight.grad, dqn.q_net.q_net[0].weight.grad)
    th.testing.assert_close(head.weight.grad[:, 0], dqn.q_net.q_net[2].weight.grad)


def test_exact_values_of_a_line():
    """Compare the values of all states and goals of a line with a trap to gamma ** (steps - 1)."""
    env = make_line(length=6, start=None, trap=5, horizon=20)
    model = make_model(env, learning_rate=3e-3, train_freq=1, exploration_final_eps=1.0, gamma=0.8).learn(2_500)
    states = np.arange(5)
    distances = np.abs(states[:, None] - np.arange(6))
    # Goals count after a step: 1 step against the wall at state 0, elsewhere 2 steps to leave and return.
    steps = np.where(distances == 0, np.where(states[:, None] == 0, 1, 2), distances)
    observations = states.astype(np.float32)[:, None]
    np.testing.assert_allclose(model.values(observations), 0.8 ** (steps - 1), atol=0.05)
    np.testing.assert_allclose(model.expected_steps(observations), steps, atol=0.5)
    away = distances > 0
    right = np.arange(6) > states[:, None]
    np.testing.assert_array_equal(model.q_values(observations).argmax(axis=2)[away], right[away])


def test_terminal_states_do_not_bootstrap():
    """In state 2 the action to the right terminates and achieves goal 3 only."""
    model = make_model(make_line(length=4, start=2, trap=3, horizon=50), train_freq=1).learn(1_500)
    q = model.q_values(np.array([[2.0]], dtype=np.float32))[0, :, 1]
    assert q[3] > 0.9 and q[:3].max() < 0.1


def test_target_network_copies_the_running_statistics():
    model = make_model(policy_kwargs={"net_arch": [32], "input_norm": True}).learn(100)
    statistics = dict(model.q_net.named_buffers())
    assert statistics["trunk.0.ra_mean"].item() != 0.0
    for name, value in model.q_net_target.named_buffers():
        assert th.equal(value, statistics[name]), name
    assert not th.equal(model.q_net.head.weight, model.q_net_target.head.weight)  # an average of past weights


# --------------------------------------------------------------------------------------------------------------------------
# Stable-Baselines3's interface


def dummy(n_envs):
    return DummyVecEnv([make_line] * n_envs)


ENVIRONMENTS = {
    "single": make_line,
    "goal-conditioned": lambda: GoalConditionedWrapper(make_line()),
    "dummy": lambda: dummy(3),
    "subproc": lambda: SubprocVecEnv([make_line] * 2, start_method="forkserver"),
    "sampler": lambda: VecGoalSampler(dummy(2), goal_selector="uniform"),
    "normalized": lambda: VecNormalize(VecGoalSampler(dummy(2)), norm_obs_keys=["observation"], norm_reward=False),
    "native": lambda: gym.make_vec("leo/GridWorld-v0", num_envs=4, autoreset_mode=AutoresetMode.SAME_STEP),
}


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_environments(kind, tmp_path):
    env = ENVIRONMENTS[kind]()
    model = make_model(env).learn(120)
    assert model._n_updates > 0 and np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    obs = model.env.reset()
    expected, _ = model.predict(obs, deterministic=True)
    loaded = LEODQN.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], expected)
    assert loaded.goal_names == model.goal_names and isinstance(loaded.goal_names, tuple)
    with pytest.raises(ValueError, match="expected an environment to train in, got None; pass one to set_env"):
        loaded.learn(10)
    model.env.close()


def test_loaded_models_can_train_with_another_number_of_environments(tmp_path):
    model = make_model().learn(100)
    model.save(tmp_path / "model")
    loaded = LEODQN.load(tmp_path / "model", env=dummy(3))
    assert loaded.num_timesteps == 100
    loaded.learn(99, reset_num_timesteps=False)
    assert loaded.num_timesteps >= 199 and loaded._n_updates > model._n_updates


def test_eval_callback_and_evaluate_policy(tmp_path):
    eval_env = GoalConditionedWrapper(make_line())
    callback = EvalCallback(Monitor(eval_env), eval_freq=50, n_eval_episodes=3, log_path=str(tmp_path), verbose=0)
    model = make_model().learn(200, callback=callback)
    assert callback.evaluations_successes and len(callback.evaluations_timesteps) == 4
    assert np.isfinite(evaluate_policy(model, Monitor(eval_env), n_eval_episodes=3)[0])


@pytest.mark.parametrize("log_goals", [False, True])
def test_logged_values(log_goals, tmp_path):
    model = make_model(log_goals=log_goals)
    model.set_logger(configure(str(tmp_path), ["csv", "stdout"]))
    model.learn(400, log_interval=1)
    header = (tmp_path / "progress.csv").read_text().splitlines()[0]
    for key in ("goals/seen", "goals/success_rate", "train/loss", "rollout/success_rate", "rollout/exploration_rate"):
        assert key in header
    assert ("goal/at/3" in header) == log_goals
    model.logger.close()


@pytest.mark.parametrize("policy", [*LEODQN.policy_aliases, LEODQNPolicy])
def test_policy_names(policy):
    assert type(LEODQN(policy, make_line(), **SMALL).policy) is LEODQNPolicy


def test_unknown_policy():
    with pytest.raises(ValueError, match=r"expected policy to be one of .*, got 'Unknown'"):
        LEODQN("Unknown", make_line(), **SMALL)


def test_goal_selector():
    model = make_model(goal_selector="at/3").learn(50)
    assert model.goal_sampler.goal_selector.attempts.nonzero()[0].tolist() == [3]
    assert model.goal_sampler.goals.tolist() == [3]
    assert isinstance(make_model().goal_sampler.goal_selector, SeenGoals)


def test_set_env_keeps_the_goal_statistics():
    model = make_model().learn(60)
    seen = model.goal_sampler.seen
    model.set_env(make_line(horizon=3))
    assert model.goal_sampler.seen.tolist() == seen.tolist() and seen.sum() > 1
    model.learn(10, reset_num_timesteps=False)


def test_exploration_is_independent_between_environments():
    model = make_model(dummy(400))
    model.exploration_rate = 0.5
    obs = model.env.reset()
    greedy, _ = model.predict(obs, deterministic=True)
    explored = (model.predict(obs)[0] != greedy).mean()
    assert 0.15 < explored < 0.35, "half of the random actions equal the greedy one"


def test_seed():
    first, second, other = (make_model(seed=seed).learn(150) for seed in (1, 1, 2))
    np.testing.assert_array_equal(weights(first), weights(second))
    assert (weights(first) != weights(other)).any()


@pytest.mark.parametrize(
    "options",
    [
        {"n_steps": 3},
        {"goals_per_update": 2},
        {"goal_reduction": "sum"},
        {"amp": True},
        {"tau": 1.0, "target_update_freq": 10},
        {"loss": "squared"},
        {"head": "factored", "policy_kwargs": {"net_arch": [32], "head_kwargs": {"rank": 4}}},
        {"policy_kwargs": {"net_arch": [], "layer_norm": False}},
        {"train_freq": 1, "gradient_steps": -1},
        {"replay_ratio": 0.3},
        {"n_steps": 3, "cut_tolerance": 0.1, "goals_per_update": 2},
    ],
    ids=str,
)
def test_options(options, tmp_path):
    model = make_model(**options).learn(120)
    assert np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    loaded = LEODQN.load(tmp_path / "model", env=make_line())
    np.testing.assert_array_equal(weights(loaded), weights(model))
    loaded.learn(20, reset_num_timesteps=False)


# --------------------------------------------------------------------------------------------------------------------------
# Actions and values


def test_act_and_values():
    model = make_model().learn(50)
    obs = np.array([2.0], dtype=np.float32)
    for goal_id, name in enumerate(model.goal_names):
        expected, _ = model.predict({"observation": obs, "goal_id": np.int64(goal_id)}, deterministic=True)
        assert model.act(obs, name) == model.act(obs, goal_id) == int(expected)
        assert model.act({"observation": obs, "goal_id": 0}, name) == int(expected)
    batch = np.arange(3, dtype=np.float32)[:, None]
    q = model.q_values(batch)
    assert q.shape == (3, 5, 2) and (0 <= q).all() and (q <= 1).all()
    for source in (model, model.policy):
        np.testing.assert_array_equal(source.q_values(batch), q)
        np.testing.assert_array_equal(source.values(batch), q.max(axis=-1))
    assert model.q_values(obs).shape == (1, 5, 2) and model.values(obs).shape == (1, 5)
    np.testing.assert_allclose(model.expected_steps(batch), 1 + np.log(q.max(axis=-1)) / np.log(0.99), rtol=1e-5)


def test_saving_and_loading_the_policy(tmp_path):
    model = make_model().learn(50)
    model.policy.save(tmp_path / "policy")
    policy = LEODQNPolicy.load(tmp_path / "policy")
    obs = np.array([2.0], dtype=np.float32)
    assert [policy.act(obs, goal) for goal in policy.goal_names] == [model.act(obs, goal) for goal in model.goal_names]


def test_torchscript_export(tmp_path):
    model = make_model().learn(50)
    model.policy.to_torchscript().save(str(tmp_path / "policy.pt"))
    script = th.jit.load(str(tmp_path / "policy.pt"))
    states = np.random.default_rng(0).uniform(0, 4, (7, 1)).astype(np.float32)
    goals = np.array([0, 1, 2, 3, 4, 0, 1])
    values = script(th.as_tensor(states), th.as_tensor(goals)).detach().numpy()
    np.testing.assert_allclose(values, model.q_values(states)[np.arange(7), goals], rtol=1e-5)


def test_image_observations():
    class ImageLine(LineEnv):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)

        def _obs(self):
            return np.full((36, 36, 1), self.position * 50, dtype=np.uint8)

    env = MultiGoalWrapper(ImageLine(), line_goals(), signal=lambda obs, info: [obs[0, 0, 0] / 50])
    model = make_model(env).learn(60)
    assert type(model.q_net.features_extractor).__name__ == "NatureCNN"
    assert model.q_values(model.env.reset()).shape == (1, 5, 2)


def test_dict_observations():
    class DictLine(LineEnv):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Dict({"x": spaces.Box(0, 4, (1,)), "left": spaces.Discrete(2)})

        def _obs(self):
            return {"x": np.array([self.position], np.float32), "left": int(self.position < 2)}

    env = MultiGoalWrapper(DictLine(), line_goals(), signal=lambda obs, info: obs["x"])
    model = make_model(env).learn(60)
    obs, _ = env.reset()
    assert model.act(obs, "at/3") in (0, 1) and model.q_values(obs).shape == (1, 5, 2)
    with pytest.raises(ValueError, match=r"keys \['left', 'x'\], got \['x'\]"):
        model.act({"x": obs["x"]}, "at/3")


# --------------------------------------------------------------------------------------------------------------------------
# Invalid arguments and input


class ContinuousLine(LineEnv):
    def __init__(self, space):
        super().__init__()
        self.action_space = space


def multi_goal(env):
    return MultiGoalWrapper(env, line_goals())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_model(multi_goal(ContinuousLine(spaces.Box(-1, 1, (1,))))), "use LEOTD3 or LEOSAC"),
        (lambda: make_model(multi_goal(ContinuousLine(spaces.MultiDiscrete([2, 2])))), "flatten the actions"),
        (lambda: make_model(LineEnv()), "wrap each with MultiGoalWrapper"),
        (lambda: make_model(VecNormalize(dummy(1))), "wrap the other way round"),
        (lambda: make_model(optimize_memory_usage=True), "optimize_memory_usage=False"),
        (lambda: make_model(replay_buffer_class=HerReplayBuffer), "got HerReplayBuffer; leave it out"),
        (lambda: make_model(goals_per_update=6), "goals_per_update from 1 to 5, got 6"),
        (lambda: make_model(target_update_freq=0), "target_update_freq of at least 1, got 0"),
        (lambda: make_model(gamma=1.2), "gamma between 0 and 1, got 1.2"),
        (lambda: make_model(exploration_fraction=1.5), "exploration_fraction between 0 and 1, got 1.5"),
        (lambda: make_model(max_grad_norm=0.0), "max_grad_norm above 0, got 0.0"),
        (lambda: make_model(loss="huber"), "loss to be one of"),
        (lambda: make_model(head="wide"), "head to be one of"),
        (lambda: make_model(goal_reduction="max"), 'goal_reduction "mean" or "sum"'),
        (lambda: make_model(policy_kwargs={"squash": False}), 'use loss="squared"'),
        (lambda: make_model(goal_selector="nowhere"), "got 'nowhere'"),
        (lambda: make_model(GoalConditionedWrapper(make_line()), goal_selector="seen"), "one that commands its own"),
        (lambda: LEODQN("MultiGoalPolicy", None, **SMALL), "expected an environment to read the goals from"),
        (lambda: make_model().set_env(make_line(length=5).env), "wrap each with MultiGoalWrapper"),
        (lambda: make_model().set_env(MultiGoalWrapper(LineEnv(), line_goals().subset([1, 0, 2, 3, 4]))), "in another order"),
        (lambda: make_model().set_env(MultiGoalWrapper(LineEnv(), line_goals().subset([0, 1]))), r"missing: \['at/2', "),
        (lambda: make_model().act(np.zeros((3, 1), np.float32), 0), "single observation, got 3"),
        (lambda: make_model().act(np.zeros(1, np.float32), "at/9"), "nearest"),
        (lambda: make_model().predict(np.zeros(1, np.float32)), r"wrap the environment with .*or use act"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_load_rejects_other_goals(tmp_path):
    make_model().save(tmp_path / "model")
    with pytest.raises(ValueError, match="in another order"):
        LEODQN.load(tmp_path / "model", env=MultiGoalWrapper(LineEnv(), line_goals().subset([1, 0, 2, 3, 4])))


def test_replay_buffers_are_saved_and_others_rejected(tmp_path):
    model = make_model(dummy(2)).learn(100)
    model.save_replay_buffer(tmp_path / "replay")
    other = make_model(dummy(2))
    other.load_replay_buffer(tmp_path / "replay")
    np.testing.assert_array_equal(other.replay_buffer.packed_masks, model.replay_buffer.packed_masks)
    single = make_model()
    before = single.replay_buffer
    with pytest.raises(ValueError, match="with n_envs 1, got a GoalReplayBuffer with n_envs 2"):
        single.load_replay_buffer(tmp_path / "replay")
    assert single.replay_buffer is before
    wide = DummyVecEnv([lambda: make_line(length=9)] * 2)
    with pytest.raises(ValueError, match=r"the 9 goals of the model, got 5 other goals; missing: \['at/5', 'at/6', 'at/7'\]"):
        make_model(wide).load_replay_buffer(tmp_path / "replay")
    reordered = DummyVecEnv([lambda: MultiGoalWrapper(LineEnv(), line_goals().subset([1, 0, 2, 3, 4]))] * 2)
    with pytest.raises(ValueError, match=r"expected a replay buffer .* got them in another order"):
        make_model(reordered).load_replay_buffer(tmp_path / "replay")


def test_a_loss_that_is_not_finite_raises_before_the_update():
    model = make_model().learn(100)
    before = weights(model)
    buffer = model.replay_buffer
    buffer.observations["observation"][: buffer.pos] = np.nan
    message = r"expected a finite loss, got NaN or infinity for 5 of 5 goals: at/0, at/1, .*lower learning_rate"
    with pytest.raises(FloatingPointError, match=message):
        model.train(1, 32)
    np.testing.assert_array_equal(weights(model), before)


def test_termination_by_the_commanded_goal_is_no_termination_for_other_goals():
    env = GoalConditionedWrapper(make_line(), goal="at/1", on_success="terminate")
    buffer = make_model(env, learning_starts=1_000).learn(60).replay_buffer
    assert buffer.dones.sum() > 0
    assert (buffer.dones * (1 - buffer.timeouts)).sum() == 0
    assert isinstance(buffer, DictReplayBuffer)
