from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from torch.nn import functional as F

import leo_envs  # noqa: F401
from leo_agents import LEODQN
from leo_agents.leo_dqn import MultiGoalPolicy
from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper, PredicateGoals, SeenGoals
from leo_wrappers.sb3 import VecGoalSampler
from tests.line_env import LineEnv, line_goals, make_line

SMALL = {"learning_starts": 32, "batch_size": 32, "buffer_size": 2_000, "policy_kwargs": {"net_arch": [32]}, "device": "cpu"}


def small(env=None, **kwargs):
    return LEODQN("MultiGoalPolicy", env or make_line(), **{**SMALL, "seed": 0, **kwargs})


def weights(model):
    return th.cat([parameter.detach().flatten() for parameter in model.policy.parameters()])


# --------------------------------------------------------------------------------------------------------------------------
# Equivalence and exact values


def test_with_one_goal_it_is_dqn_whose_done_is_success():
    """The same weights, the same transitions, one gradient step: the same weights again."""
    goal = PredicateGoals({"end": lambda s: s[..., 0] >= 3}, signal_shape=(1,))
    env = MultiGoalWrapper(LineEnv(trap=4, horizon=6), goal)
    plain = {"net_arch": [16], "layer_norm": False, "squash": False}
    leo = LEODQN("MultiGoalPolicy", env, loss="squared", **{**SMALL, "learning_starts": 100, "policy_kwargs": plain}, seed=0)
    leo.learn(100)
    dqn = DQN("MlpPolicy", LineEnv(), policy_kwargs={"net_arch": [16]}, device="cpu")
    trunk, head = leo.q_net.trunk, leo.q_net.head
    with th.no_grad():  # DQN's Huber loss is the squared one only while the errors are below 1
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
    loss = leo._loss(leo._lesson(batch, None), None)
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


@pytest.mark.parametrize("head", ["dense", "factored"])
@pytest.mark.parametrize("double_q", [False, True])
def test_the_loss_against_a_hand_written_one(head, double_q):
    model = small(head=head, double_q=double_q)
    model.learn(100)
    batch = model.replay_buffer.sample(40)
    with th.no_grad():
        online, target = model.q_net(batch.next_observations), model.q_net_target(batch.next_observations)
        best = (online if double_q else target).argmax(dim=2)
        next_values = target.gather(2, best.unsqueeze(2)).squeeze(2)
        y = batch.goals_achieved + 0.99 * (1 - batch.goals_achieved) * (1 - batch.dones) * next_values
    q = model.q_net(batch.observations)
    taken = q[th.arange(40), :, batch.actions.long().flatten()]
    expected = -(y * taken.log() + (1 - y) * (1 - taken).log()).mean()
    th.testing.assert_close(model._loss(model._lesson(batch, None), None), expected, rtol=1e-4, atol=1e-5)
    some = th.tensor([3, 1])
    expected = -(y * taken.log() + (1 - y) * (1 - taken).log())[:, some].mean()
    th.testing.assert_close(model._loss(model._lesson(batch, some), some), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{}, {"head": "factored"}, {"goals_per_update": 2}, {"loss": "squared"}, {"amp": True}, {"max_grad_norm": 1e-3}],
    ids=str,
)
def test_the_default_optimiser_learns_what_pytorchs_adam_learns(options):
    """From gradients that are never written down whole."""
    default, plain = (
        small(**options, policy_kwargs={"net_arch": [32], **optimizer}).learn(80)
        for optimizer in ({}, {"optimizer_class": th.optim.Adam})
    )
    assert type(default.policy.optimizer) is not type(plain.policy.optimizer) and default._n_updates > 5
    tolerance = 5e-3 if "amp" in options else 1e-4
    th.testing.assert_close(weights(default), weights(plain), rtol=tolerance, atol=tolerance)


def test_reused_targets_are_those_of_the_step_that_drew_them():
    model = small(target_reuse=4).learn(100)
    lessons = [model._next_lesson(32, None) for _ in range(5)]
    assert all(len(lesson.targets) == 32 for lesson in lessons)
    for before, after in pairwise(lessons):
        th.testing.assert_close(after.targets[:24], before.targets[8:])
        th.testing.assert_close(after.observations["observation"][:24], before.observations["observation"][8:])


def test_it_learns_the_exact_values_of_a_line():
    """Every state and goal of a line with a trap, against gamma^(steps - 1)."""
    env = make_line(length=6, start=None, trap=5, horizon=20)
    model = small(env, learning_rate=3e-3, train_freq=1, exploration_final_eps=1.0).learn(3_000)
    states = np.arange(5, dtype=np.float32)[:, None]
    q = model.q_values(states)
    for state in range(5):
        for goal in range(6):
            if goal == state and state != 0:
                continue  # out and back again: checked through the neighbours
            steps = abs(goal - state) if goal != state else 1  # at the left wall, stepping left stays
            np.testing.assert_allclose(q[state, goal].max(), 0.99 ** (steps - 1), atol=0.05)
            if goal != state:
                assert q[state, goal].argmax() == int(goal > state)
    np.testing.assert_allclose(model.expected_steps(states)[0, 4], 4.0, atol=4.0)


def test_a_terminal_state_is_worth_nothing_to_other_goals():
    """Stepping into the trap next door ends everything: only the goal that the trap itself is gains."""
    model = small(make_line(length=4, start=2, trap=3, horizon=50), train_freq=1).learn(1_500)
    q = model.q_values(np.array([[2.0]], dtype=np.float32))[0, :, 1]
    assert q[3] > 0.9 and q[:3].max() < 0.1


# --------------------------------------------------------------------------------------------------------------------------
# Stable-Baselines3's contract


def dummy(n_envs):
    return DummyVecEnv([make_line] * n_envs)


ENVIRONMENTS = {
    "single": make_line,
    "goal-conditioned": lambda: GoalConditionedWrapper(make_line()),
    "dummy": lambda: dummy(3),
    "subproc": lambda: SubprocVecEnv([make_line] * 2, start_method="forkserver"),
    "sampler": lambda: VecGoalSampler(dummy(2), goal_selector="uniform"),
    "normalised": lambda: VecNormalize(VecGoalSampler(dummy(2)), norm_obs_keys=["observation"], norm_reward=False),
    "native": lambda: gym.make_vec("leo/GridWorld-v0", num_envs=4, autoreset_mode=AutoresetMode.SAME_STEP),
}


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_it_runs_on_every_kind_of_environment(kind, tmp_path):
    env = ENVIRONMENTS[kind]()
    model = small(env).learn(120)
    assert model._n_updates > 0 and np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    obs = model.env.reset()
    expected, _ = model.predict(obs, deterministic=True)
    alone = LEODQN.load(tmp_path / "model")
    np.testing.assert_array_equal(alone.predict(obs, deterministic=True)[0], expected)
    assert alone.goal_names == model.goal_names and isinstance(alone.goal_names, tuple)
    with pytest.raises(AssertionError, match="set the environment"):
        alone.learn(10)
    model.env.close()


def test_a_loaded_model_trains_on_with_any_number_of_environments(tmp_path):
    model = small().learn(100)
    model.save(tmp_path / "model")
    loaded = LEODQN.load(tmp_path / "model", env=dummy(3))
    assert loaded.num_timesteps == 100
    loaded.learn(99, reset_num_timesteps=False)
    assert loaded.num_timesteps >= 199 and loaded._n_updates > model._n_updates


def test_evaluation_tools_work_unmodified(tmp_path):
    eval_env = GoalConditionedWrapper(make_line())
    callback = EvalCallback(Monitor(eval_env), eval_freq=50, n_eval_episodes=3, log_path=str(tmp_path), verbose=0)
    model = small().learn(200, callback=callback)
    assert callback.evaluations_successes and len(callback.evaluations_timesteps) == 4
    assert np.isfinite(evaluate_policy(model, Monitor(eval_env), n_eval_episodes=3)[0])


def test_the_logger_gets_aggregates_and_single_goals_on_request(tmp_path):
    from stable_baselines3.common.logger import configure

    for log_goals in (False, True):
        model = small(log_goals=log_goals)
        model.set_logger(configure(str(tmp_path), ["csv", "stdout"]))
        model.learn(400, log_interval=1)
        header = (tmp_path / "progress.csv").read_text().splitlines()[0]
        for key in ("goals/seen", "goals/success_rate", "train/loss", "rollout/success_rate", "rollout/exploration_rate"):
            assert key in header
        assert ("goal/at/3" in header) == log_goals
        model.logger.close()


def test_mlp_policy_means_the_same():
    assert isinstance(LEODQN("MlpPolicy", make_line(), **SMALL).policy, MultiGoalPolicy)
    with pytest.raises(ValueError, match="Policy Nonsense unknown"):
        LEODQN("Nonsense", make_line(), **SMALL)


def test_the_selector_of_the_users_choice():
    model = small(goal_selector="at/3").learn(50)
    assert model.goal_sampler.goal_selector.attempts.nonzero()[0].tolist() in ([], [3])
    assert model.goal_sampler.goals.tolist() == [3]
    assert isinstance(small().goal_sampler.goal_selector, SeenGoals)


def test_set_env_keeps_what_was_seen():
    model = small().learn(60)
    seen = model.goal_sampler.seen
    model.set_env(make_line(horizon=3))
    assert model.goal_sampler.seen.tolist() == seen.tolist() and seen.sum() > 1
    model.learn(10, reset_num_timesteps=False)


def test_exploration_is_decided_for_each_environment():
    model = small(dummy(400))
    model.exploration_rate = 0.5
    obs = model.env.reset()
    greedy, _ = model.predict(obs, deterministic=True)
    explored = (model.predict(obs)[0] != greedy).mean()
    assert 0.15 < explored < 0.35, "half of the random actions, at random, are the greedy one"


def test_the_same_seed_is_the_same_run_and_another_is_another():
    first, second, other = (small(seed=seed).learn(150) for seed in (1, 1, 2))
    np.testing.assert_array_equal(weights(first), weights(second))
    assert (weights(first) != weights(other)).any()


@pytest.mark.parametrize(
    "options",
    [
        {"n_steps": 3},
        {"goals_per_update": 2},
        {"goal_reduction": "sum"},
        {"amp": True},
        {"target_reuse": 4},
        {"tau": 1.0, "target_update_interval": 30},
        {"loss": "squared"},
        {"head": "factored", "policy_kwargs": {"net_arch": [32], "head_kwargs": {"rank": 4}}},
        {"policy_kwargs": {"net_arch": [], "layer_norm": False}},
        {"train_freq": 1, "gradient_steps": -1},
    ],
    ids=str,
)
def test_options(options, tmp_path):
    model = small(**options).learn(120)
    assert np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    copy = LEODQN.load(tmp_path / "model", env=make_line())
    np.testing.assert_array_equal(weights(copy), weights(model))
    copy.learn(20, reset_num_timesteps=False)


# --------------------------------------------------------------------------------------------------------------------------
# Steering


def test_act_takes_names_and_bare_observations():
    model = small().learn(50)
    obs = np.array([2.0], dtype=np.float32)
    for goal_id, name in enumerate(model.goal_names):
        expected, _ = model.predict({"observation": obs, "goal_id": np.int64(goal_id)}, deterministic=True)
        assert model.act(obs, name) == model.act(obs, goal_id) == int(expected)
        assert model.act({"observation": obs, "goal_id": 0}, name) == int(expected)
    q = model.q_values(np.stack([obs] * 3))
    assert q.shape == (3, 5, 2) and (0 <= q).all() and (q <= 1).all()
    assert model.q_values(obs).shape == (1, 5, 2)
    np.testing.assert_allclose(model.expected_steps(obs), 1 + np.log(model.q_values(obs).max(-1)) / np.log(0.99), rtol=1e-5)


def test_the_policy_alone_loads_without_environment_and_algorithm(tmp_path):
    model = small().learn(50)
    model.policy.save(tmp_path / "policy")
    policy = MultiGoalPolicy.load(tmp_path / "policy")
    obs = np.array([2.0], dtype=np.float32)
    assert [policy.act(obs, goal) for goal in policy.goal_names] == [model.act(obs, goal) for goal in model.goal_names]


def test_the_policy_exports_to_torchscript(tmp_path):
    model = small().learn(50)
    model.policy.to_torchscript().save(str(tmp_path / "policy.pt"))
    script = th.jit.load(str(tmp_path / "policy.pt"))
    states = np.random.default_rng(0).uniform(0, 4, (7, 1)).astype(np.float32)
    goals = np.array([0, 1, 2, 3, 4, 0, 1])
    values = script(th.as_tensor(states), th.as_tensor(goals)).detach().numpy()
    np.testing.assert_allclose(values, model.q_values(states)[np.arange(7), goals], rtol=1e-5)


def test_images_get_a_convolution():
    class ImageLine(LineEnv):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)

        def _obs(self):
            return np.full((36, 36, 1), self.position * 50, dtype=np.uint8)

    env = MultiGoalWrapper(ImageLine(), line_goals(), signal=lambda obs, info: [obs[0, 0, 0] / 50])
    model = small(env).learn(60)
    assert type(model.q_net.features_extractor).__name__ == "NatureCNN"
    assert model.q_values(model.env.reset()).shape == (1, 5, 2)


def test_dictionaries_of_states_are_combined():
    class DictLine(LineEnv):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Dict({"x": spaces.Box(0, 4, (1,)), "left": spaces.Discrete(2)})

        def _obs(self):
            return {"x": np.array([self.position], np.float32), "left": int(self.position < 2)}

    env = MultiGoalWrapper(DictLine(), line_goals(), signal=lambda obs, info: obs["x"])
    model = small(env).learn(60)
    obs, _ = env.reset()
    assert model.act(obs, "at/3") in (0, 1) and model.q_values(obs).shape == (1, 5, 2)
    with pytest.raises(ValueError, match=r"keys \['left', 'x'\], got \['x'\]"):
        model.act({"x": obs["x"]}, "at/3")


# --------------------------------------------------------------------------------------------------------------------------
# Bad input


class ContinuousLine(LineEnv):
    def __init__(self, space):
        super().__init__()
        self.action_space = space


def multi_goal(env):
    return MultiGoalWrapper(env, line_goals())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small(multi_goal(ContinuousLine(spaces.Box(-1, 1, (1,))))), "use LEOTD3 or LEOSAC"),
        (lambda: small(multi_goal(ContinuousLine(spaces.MultiDiscrete([2, 2])))), "flatten the actions"),
        (lambda: small(LineEnv()), "wrap each with MultiGoalWrapper"),
        (lambda: small(VecNormalize(dummy(1))), "wrap the other way round"),
        (lambda: small(optimize_memory_usage=True), "optimize_memory_usage=False"),
        (lambda: small(batch_size=3_000), "batch_size of at most buffer_size, got 3000 > 2000"),
        (lambda: small(goals_per_update=6), "goals_per_update from 1 to 5, got 6"),
        (lambda: small(target_reuse=5), "target_reuse to divide batch_size 32, got 5"),
        (lambda: small(target_reuse=2, goals_per_update=2), "got both"),
        (lambda: small(loss="huber"), "loss to be one of"),
        (lambda: small(head="wide"), "head to be one of"),
        (lambda: small(goal_reduction="max").learn(100), "goal_reduction"),
        (lambda: small(policy_kwargs={"squash": False}), 'use loss="squared"'),
        (lambda: small(goal_selector="nowhere"), "got 'nowhere'"),
        (lambda: small(GoalConditionedWrapper(make_line()), goal_selector="seen"), "chooses its goals itself"),
        (lambda: LEODQN("MultiGoalPolicy", None, **SMALL), "expected an environment to learn the goals of"),
        (lambda: small().set_env(make_line(length=5).env), "wrap each with MultiGoalWrapper"),
        (lambda: small().set_env(MultiGoalWrapper(LineEnv(), line_goals().subset([1, 0, 2, 3, 4]))), "in another order"),
        (lambda: small().set_env(MultiGoalWrapper(LineEnv(), line_goals().subset([0, 1]))), r"missing: \['at/2', "),
        (lambda: small().act(np.zeros((3, 1), np.float32), 0), "single observation, got 3"),
        (lambda: small().act(np.zeros(1, np.float32), "at/9"), "nearest"),
        (lambda: small().predict(np.zeros(1, np.float32)), r"wrap the environment with .*or use act"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_load_refuses_other_goals(tmp_path):
    small().save(tmp_path / "model")
    with pytest.raises(ValueError, match="in another order"):
        LEODQN.load(tmp_path / "model", env=MultiGoalWrapper(LineEnv(), line_goals().subset([1, 0, 2, 3, 4])))


def test_replay_buffers_are_saved_and_foreign_ones_refused(tmp_path):
    model = small(dummy(2)).learn(100)
    model.save_replay_buffer(tmp_path / "replay")
    copy = small(dummy(2))
    copy.load_replay_buffer(tmp_path / "replay")
    np.testing.assert_array_equal(copy.replay_buffer.packed_masks, model.replay_buffer.packed_masks)
    single = small()
    before = single.replay_buffer
    with pytest.raises(ValueError, match="n_envs 1, got 2"):
        single.load_replay_buffer(tmp_path / "replay")
    assert single.replay_buffer is before
    wide = DummyVecEnv([lambda: make_line(length=9)] * 2)
    with pytest.raises(ValueError, match="num_goals 9, got 5"):
        small(wide).load_replay_buffer(tmp_path / "replay")


def test_a_loss_that_is_not_finite_stops_before_the_update():
    model = small().learn(100)
    before = weights(model)
    buffer = model.replay_buffer
    buffer.observations["observation"][: buffer.pos] = np.nan
    with pytest.raises(FloatingPointError, match=r"at step 100, for 5 of 5 goals: at/0, at/1, .*checkpoint is untouched"):
        model.train(1, 32)
    np.testing.assert_array_equal(weights(model), before)


def test_an_end_that_is_only_the_commanded_goals_does_not_cut_the_others():
    model = small(GoalConditionedWrapper(make_line(), goal="at/1", on_success="terminate"), learning_starts=1_000).learn(60)
    buffer = model.replay_buffer
    assert buffer.dones.sum() > 0
    assert (buffer.dones * (1 - buffer.timeouts)).sum() == 0
    assert isinstance(buffer, DictReplayBuffer)
