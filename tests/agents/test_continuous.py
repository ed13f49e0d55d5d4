"""Common behavior of LEOTD3 and LEOSAC: SB3's interface, updates, actions and values, learning, invalid arguments."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from leo_agents import LEOSAC, LEOTD3
from leo_agents.evaluation import GoalEvalCallback, evaluate_goals
from leo_agents.learning.checkpoints import ExactCheckpoints
from leo_agents.leo_sac import LEOSACPolicy
from leo_agents.leo_td3 import LEOTD3Policy
from leo_wrappers import GoalConditionedWrapper
from leo_wrappers.sb3 import VecGoalSampler
from tests.agents.one_goal import replay
from tests.line_env import make_line
from tests.walled_box_env import WalledBoxEnv, goal_of, move, observe, optimal_steps

ALGORITHMS = {"td3": LEOTD3, "sac": LEOSAC}
POLICIES = {"td3": LEOTD3Policy, "sac": LEOSACPolicy}
SMALL = {"learning_starts": 32, "batch_size": 32, "buffer_size": 2_000, "device": "cpu"}


@pytest.fixture(params=list(ALGORITHMS))
def name(request):
    return request.param


def make_box(**kwargs):
    return WalledBoxEnv(**{"horizon": 20, **kwargs})


def make_model(name, env=None, **kwargs):
    policy_kwargs = {"net_arch": [32], **kwargs.pop("policy_kwargs", {})}
    return ALGORITHMS[name](
        "MultiGoalPolicy", make_box() if env is None else env, policy_kwargs=policy_kwargs, **{**SMALL, "seed": 0, **kwargs}
    )


def weights(model):
    return th.cat([parameter.detach().flatten() for parameter in model.policy.parameters()]).numpy()


def dummy(n_envs):
    return DummyVecEnv([make_box] * n_envs)


# --------------------------------------------------------------------------------------------------------------------------
# Stable-Baselines3's interface

ENVIRONMENTS = {
    "single": make_box,
    "goal-conditioned": lambda: GoalConditionedWrapper(make_box()),
    "dummy": lambda: dummy(3),
    "subproc": lambda: SubprocVecEnv([make_box] * 2, start_method="forkserver"),
    "sampler": lambda: VecGoalSampler(dummy(2), goal_selector="uniform"),
    "normalized": lambda: VecNormalize(VecGoalSampler(dummy(2)), norm_obs_keys=["observation"], norm_reward=False),
}


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_environments_saving_and_loading(name, kind, tmp_path):
    model = make_model(name, ENVIRONMENTS[kind]()).learn(90)
    assert model._n_updates > 0 and np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    obs = model.env.reset()
    expected, _ = model.predict(obs, deterministic=True)
    assert expected.shape == (model.n_envs, 2) and (np.abs(expected) <= 1).all()
    loaded = ALGORITHMS[name].load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], expected)
    assert loaded.goal_names == model.goal_names and isinstance(loaded.goal_names, tuple)
    with pytest.raises(ValueError, match="expected an environment to train in, got None; pass one to set_env"):
        loaded.learn(10)
    model.env.close()


@pytest.mark.parametrize("n_envs", [1, 3])
def test_a_loaded_model_trains_with_any_number_of_environments(name, n_envs, tmp_path):
    noise = NormalActionNoise(np.zeros(2), np.full(2, 0.1))
    model = make_model(name, dummy(2), action_noise=noise).learn(60)
    model.save(tmp_path / "model")
    loaded = ALGORITHMS[name].load(tmp_path / "model", env=dummy(n_envs))
    loaded.learn(60, reset_num_timesteps=False)
    assert loaded.num_timesteps >= 120 and loaded._n_updates > model._n_updates


def test_evaluation_tools_work_unmodified(name, tmp_path):
    eval_env = GoalConditionedWrapper(make_box())
    callbacks = [
        EvalCallback(Monitor(eval_env), eval_freq=40, n_eval_episodes=2, log_path=str(tmp_path), verbose=0),
        GoalEvalCallback(dummy(4), eval_freq=40, goals=[0, 1], csv_path=tmp_path / "goals.csv"),
    ]
    model = make_model(name).learn(80, callback=callbacks)
    assert len(callbacks[0].evaluations_timesteps) == 2 and len(callbacks[0].evaluations_successes) == 2
    assert np.isfinite(evaluate_policy(model, Monitor(eval_env), n_eval_episodes=2)[0])
    assert evaluate_goals(model, dummy(4), goals=[3, 4, 5], seed=0).attempts.tolist() == [1, 1, 1]


def test_logged_values(name, tmp_path):
    model = make_model(name, log_goals=True)
    model.set_logger(configure(str(tmp_path), ["csv", "stdout"]))
    model.learn(200, log_interval=1)
    header = (tmp_path / "progress.csv").read_text().splitlines()[0]
    for key in ("goals/seen", "train/critic_loss", "train/actor_loss", "rollout/success_rate", "goal/cell/"):
        assert key in header
    model.logger.close()


def test_policy_aliases(name):
    for alias in ("MultiGoalPolicy", "MlpPolicy", "CnnPolicy", "MultiInputPolicy"):
        assert type(ALGORITHMS[name](alias, make_box(), **SMALL).policy) is POLICIES[name]
    with pytest.raises(ValueError, match=r"expected policy to be one of .*, got 'Nonsense'"):
        ALGORITHMS[name]("Nonsense", make_box(), **SMALL)


def test_training_mode_of_all_modules_but_target_networks(name):
    policy = make_model(name).policy
    for mode in (True, False, True):
        policy.set_training_mode(mode)
        assert all(module.training is mode for network in (policy.actor, policy.critic) for module in network.modules())
        assert not any(module.training for module in policy.critic_target.modules())


def test_runs_are_reproducible(name):
    first, second, other = (make_model(name, seed=seed).learn(100) for seed in (1, 1, 2))
    np.testing.assert_array_equal(weights(first), weights(second))
    assert (weights(first) != weights(other)).any()


OPTIONS = [
    {"n_steps": 3},
    {"goals_per_update": 4},
    {"goal_reduction": "sum"},
    {"loss": "squared"},
    {"loss": "squared", "policy_kwargs": {"squash": False}},
    {"policy_kwargs": {"net_arch": {"pi": [], "qf": [16]}, "layer_norm": False, "n_critics": 3}},
    {"policy_kwargs": {"head_kwargs": {"bilinear": False, "initial_value": 0.1}}},
    {"train_freq": 4, "gradient_steps": -1},
    {"exploration_initial_eps": 0.5, "exploration_final_eps": 0.0},
    {"amp": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(name, options, tmp_path):
    model = make_model(name, **options).learn(80)
    assert np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    copy = ALGORITHMS[name].load(tmp_path / "model", env=make_box())
    np.testing.assert_array_equal(weights(copy), weights(model))
    copy.learn(20, reset_num_timesteps=False)


# --------------------------------------------------------------------------------------------------------------------------
# Updates


def test_an_update_of_some_goals_does_not_change_the_others(name):
    model = make_model(name, goals_per_update=3).learn(31)  # before the first update
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    goals = th.tensor([5, 50, 7])
    model._sample_goals = lambda: goals
    model.train(2, 32)
    others = th.ones(100, dtype=th.bool)
    others[goals] = False
    num_changed = 0
    for key, value in model.policy.state_dict().items():
        if value.shape[:1] == (100,) and "target" not in key:  # the Polyak update of targets rounds
            assert th.equal(value[others], before[key][others]), key
            num_changed += int((value[goals] != before[key][goals]).any())
    assert num_changed > 4


def test_amp_agrees_with_float32(name, monkeypatch):
    """Compare targets and critic loss in bfloat16 and in float32, from the same weights and random numbers."""
    noise = {"target_policy_noise": 0.0} if name == "td3" else {}
    model = make_model(name, **noise).learn(80)
    batch = model.replay_buffer.sample(64)
    targets, losses = [], []
    parameters = model.get_parameters()
    for amp in (False, True):
        model.amp = amp
        model.set_parameters(parameters)
        replay(model, [batch], monkeypatch)
        th.manual_seed(0)
        targets.append(model.targets(batch))
        model.train(1, 64)
        losses.append(model.logger.name_to_value["train/critic_loss"])
    assert targets[1].dtype == th.float32 and (targets[0] != targets[1]).any()
    th.testing.assert_close(targets[1], targets[0], atol=0.02, rtol=0.0)
    assert losses[1] != losses[0] and losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize("max_grad_norm", [1e-3, 1e-2])
def test_max_grad_norm_bounds_the_gradients_of_actor_and_critic(name, max_grad_norm):
    """By one step of SGD with a learning rate of 1, which is the gradient."""
    options = {"learning_rate": 1.0, "policy_kwargs": {"optimizer_class": th.optim.SGD}}
    for limit, clipped in ((1e6, False), (max_grad_norm, True)):
        model = make_model(name, max_grad_norm=limit, loss="squared", goal_reduction="sum", **options).learn(31)
        with th.no_grad():  # the weights are initialized to zero
            for head in model.critic.heads:
                head.weight.normal_()
        networks = (model.actor, model.critic)
        before = [th.nn.utils.parameters_to_vector(network.parameters()) for network in networks]
        model.train(1, 32)
        for network, old in zip(networks, before, strict=True):
            norm = (th.nn.utils.parameters_to_vector(network.parameters()) - old).norm().item()
            assert (norm == pytest.approx(max_grad_norm, rel=1e-2)) if clipped else norm > max_grad_norm


def everything(model):
    """Return everything that training changes: weights, optimizers, replay buffer, statistics, random numbers."""
    parameters = model.get_parameters()
    states = [parameters[key]["state"].values() for key in sorted(parameters) if key.endswith("optimizer")]
    moments = [state[key] for several in states for state in several for key in sorted(state)]
    selector = model.goal_sampler.goal_selector
    return [
        *(tensor.numpy() for tensor in [*parameters["policy"].values(), *moments, th.get_rng_state()]),
        model.replay_buffer.packed_masks,
        model.replay_buffer.actions,
        *model.replay_buffer.observations.values(),
        *model._last_obs.values(),
        selector.attempts,
        selector.rng.random(3),
        np.random.random(3),
        np.array([model.num_timesteps, model._n_updates, model._episode_num]),
    ]


RESUME = """
import pickle, sys
from leo_agents import LEOSAC, LEOTD3
from tests.agents.test_continuous import everything
model = {"td3": LEOTD3, "sac": LEOSAC}[sys.argv[4]].resume(sys.argv[1])
model.learn(int(sys.argv[2]) - model.num_timesteps, reset_num_timesteps=False)
pickle.dump(everything(model), open(sys.argv[3], "wb"))
"""


@pytest.mark.parametrize("n_envs", [1, 2])
def test_a_run_resumed_in_a_new_process_equals_an_uninterrupted_one(name, n_envs, tmp_path):
    expected = everything(make_model(name, dummy(n_envs)).learn(160))
    make_model(name, dummy(n_envs)).learn(160, callback=ExactCheckpoints(tmp_path / "halfway", save_freq=80))
    arguments = [str(tmp_path / "halfway"), "160", str(tmp_path / "result.pkl"), name]
    subprocess.run([sys.executable, "-c", RESUME, *arguments], check=True)
    found = np.load(tmp_path / "result.pkl", allow_pickle=True)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# --------------------------------------------------------------------------------------------------------------------------
# Actions and values


def test_act_takes_names_and_observations_without_goal(name):
    model = make_model(name, gym.wrappers.RescaleAction(make_box(), -3.0, 2.0)).learn(50)
    obs = observe(np.array([4.2, 1.3]))
    for goal_id in (0, 17, 99):
        goal = model.goal_names[goal_id]
        expected, _ = model.predict({"observation": obs, "goal_id": np.int64(goal_id)}, deterministic=True)
        np.testing.assert_array_equal(model.act(obs, goal), expected)
        np.testing.assert_array_equal(model.act({"observation": obs, "goal_id": 0}, goal_id), expected)
        assert expected.shape == (2,) and (expected >= -3).all() and (expected <= 2).all()


def test_values_are_those_of_each_goals_action(name):
    model = make_model(name).learn(60)
    obs = np.random.default_rng(0).uniform(-1, 1, (3, 2)).astype(np.float32)
    values = model.values(obs)
    assert values.shape == (3, 100) and (values >= 0).all() and (values <= 1).all()
    assert model.values(obs[0]).shape == (1, 100)
    np.testing.assert_allclose(model.expected_steps(obs), 1 + np.log(values) / np.log(0.99), rtol=1e-5)
    with th.no_grad():
        for goal in (0, 60):
            actions = th.as_tensor(np.stack([model.act(row, goal) for row in obs]))
            outputs = [output[:, goal] for output in model.critic.taken(th.as_tensor(obs), actions)]
            expected = th.sigmoid(th.minimum(*outputs))
            np.testing.assert_allclose(values[:, goal], expected.numpy(), rtol=1e-4)


def test_policies_are_saved_and_loaded_alone(name, tmp_path):
    model = make_model(name).learn(50)
    model.policy.save(tmp_path / "policy")
    policy = POLICIES[name].load(tmp_path / "policy")
    obs = np.zeros(2, dtype=np.float32)
    for goal in model.goal_names[:5]:
        np.testing.assert_array_equal(policy.act(obs, goal), model.act(obs, goal))
    np.testing.assert_array_equal(policy.values(obs), model.values(obs))


def test_the_policy_exports_to_torchscript(name, tmp_path):
    model = make_model(name).learn(50)
    model.policy.to_torchscript().save(str(tmp_path / "policy.pt"))
    script = th.jit.load(str(tmp_path / "policy.pt"))
    states, goals = np.random.default_rng(0).uniform(-1, 1, (7, 2)).astype(np.float32), np.array([0, 99, 2, 3, 4, 0, 1])
    actions = script(th.as_tensor(states), th.as_tensor(goals)).detach().numpy()
    expected, _ = model.predict({"observation": states, "goal_id": goals}, deterministic=True)
    np.testing.assert_allclose(actions, expected, rtol=1e-5)


def test_dict_observations(name):
    class DictBox(WalledBoxEnv):
        def __init__(self):
            super().__init__(horizon=20)
            self.observation_space = spaces.Dict({"x": spaces.Box(-1, 1, (1,)), "right": spaces.Discrete(2)})

        def _observation(self):
            return {"x": observe(self.point)[:1], "right": int(self.point[0] > 5)}

    model = make_model(name, DictBox()).learn(50)
    obs, _ = DictBox().reset(seed=0)
    assert model.act(obs, "cell/9,3").shape == (2,) and model.values(obs).shape == (1, 100)


def test_fraction_and_repetition_of_random_actions(name):
    no_noise = NormalActionNoise(np.zeros(2), np.zeros(2))
    options = {"exploration_initial_eps": 0.4, "exploration_final_eps": 0.4, "random_action_repeat": 4}
    model = make_model(name, dummy(500), action_noise=no_noise, **options)
    model._last_obs = model.env.reset()
    with th.no_grad():
        model.actor.head.weight.zero_()
        model.actor.head.bias.fill_(-20.0)  # also SAC's standard deviation
    model.num_timesteps = 1_000
    model._setup_learn(1)
    actions = np.stack([model._sample_action(0, model.action_noise, 500)[1] for _ in range(60)])
    is_random = (actions > -0.999).any(axis=2)
    assert 0.35 < is_random[20:].mean() < 0.45
    # With 4 steps per random action on average, 3 of 4 random steps repeat the previous action.
    repeated = (actions[1:] == actions[:-1]).all(axis=2) & is_random[1:]
    assert 0.7 < repeated.sum() / is_random[1:].sum() < 0.8


# --------------------------------------------------------------------------------------------------------------------------
# Learning


def test_it_learns_nearby_goals_of_a_box(name):
    """From random positions, with about 500 gradient steps: success rates, and values against the exact number of steps."""
    envs = DummyVecEnv([lambda: WalledBoxEnv(start="random", horizon=40)] * 4)
    kwargs = {"learning_starts": 1_000, "batch_size": 256, "buffer_size": 4_000, "policy_kwargs": {"net_arch": [128, 64]}}
    model = ALGORITHMS[name]("MultiGoalPolicy", envs, seed=0, device="cpu", **kwargs)
    eval_env = DummyVecEnv([lambda: WalledBoxEnv(start="random", horizon=40)] * 50)
    assert evaluate_goals(model, eval_env, seed=0).mean_success < 0.1
    model.learn(3_000)
    success = evaluate_goals(model, eval_env, seed=0).mean_success
    points, steps = optimal_steps()
    near = steps <= 4
    errors = np.abs(model.values(observe(points)) - 0.99 ** (steps - 1))[near]
    assert success > 0.3 and errors.mean() < 0.15


# --------------------------------------------------------------------------------------------------------------------------
# Invalid arguments


def with_actions(space):
    env = make_box()
    env.action_space = space
    return env


class Plain(gym.Env):
    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Box(-1, 1, (2,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda name: make_model(name, make_line()), "expected continuous actions.*use LEODQN"),
        (lambda name: make_model(name, with_actions(spaces.MultiDiscrete([2, 2]))), "expected continuous actions.*one Box"),
        (lambda name: make_model(name, with_actions(spaces.Box(-np.inf, 1, (2,)))), "finite bounds.*RescaleAction"),
        (lambda name: make_model(name, with_actions(spaces.Box(1.0, 1.0, (2,)))), "finite bounds, low below high"),
        (lambda name: make_model(name, Plain()), "wrap each with MultiGoalWrapper"),
        (lambda name: make_model(name, VecNormalize(dummy(1))), "wrap the other way round"),
        (lambda name: make_model(name, optimize_memory_usage=True), "optimize_memory_usage=False"),
        (lambda name: make_model(name, replay_buffer_class=HerReplayBuffer), "got HerReplayBuffer; leave it out"),
        (lambda name: make_model(name, goals_per_update=101), "goals_per_update from 1 to 100, got 101"),
        (lambda name: make_model(name, loss="huber"), "loss to be one of"),
        (lambda name: make_model(name, exploration_final_eps=1.5), "exploration_final_eps between 0 and 1, got 1.5"),
        (lambda name: make_model(name, random_action_repeat=0), "random_action_repeat of at least 1, got 0"),
        (lambda name: make_model(name, max_grad_norm=0.0), "max_grad_norm above 0, got 0.0"),
        (lambda name: make_model(name, goal_reduction="max"), 'goal_reduction "mean" or "sum"'),
        (lambda name: make_model(name, policy_kwargs={"squash": False}), 'use loss="squared"'),
        (lambda name: make_model(name, policy_kwargs={"n_critics": 0}), "n_critics of at least 1"),
        (lambda name: make_model(name, goal_selector="nowhere"), "got 'nowhere'"),
        (
            lambda name: ALGORITHMS[name]("MultiGoalPolicy", None, **SMALL),
            "expected an environment to read the goals from, got None",
        ),
        (lambda name: make_model(name).act(np.zeros((3, 2), np.float32), 0), "single observation, got 3"),
        (lambda name: make_model(name).act(np.zeros(2, np.float32), "cell/77,0"), "nearest"),
        (lambda name: make_model(name).predict(np.zeros(2, np.float32)), r"wrap the environment with .*or use act"),
    ],
)
def test_invalid_arguments(name, make, message):
    with pytest.raises(ValueError, match=message):
        make(name)


def test_a_loss_that_is_not_finite_is_not_applied(name):
    model = make_model(name).learn(60)
    before = weights(model)
    model.replay_buffer.observations["observation"][:] = np.nan
    with pytest.raises(FloatingPointError, match=r"expected .*finite.* for 100 of 100 goals.*checkpoint is valid"):
        model.train(1, 32)
    np.testing.assert_array_equal(weights(model), before)


def test_optimal_steps_of_the_box():
    """Actions that follow the table, which the learning test uses, reach the goal in exactly as many steps."""
    points, steps = optimal_steps()
    moves = np.stack(np.meshgrid(*[[-1.0, -0.5, 0.0, 0.5, 1.0]] * 2), axis=-1).reshape(-1, 2)
    for start, goal in ((0, 99), (700, 3), (1599, 9), (60, 61)):
        point, count = points[start], 0
        while count == 0 or goal_of(point) != goal:
            after = np.array([move(point, action) for action in moves])
            nearest = np.abs(points[None] - after[:, None]).max(axis=2)
            on_lattice = nearest.min(axis=1) < 1e-9
            left = np.where(goal_of(after) == goal, 0.0, steps[nearest.argmin(axis=1), goal])
            point = after[np.where(on_lattice, left, np.inf).argmin()]
            count += 1
        assert count == steps[start, goal]
