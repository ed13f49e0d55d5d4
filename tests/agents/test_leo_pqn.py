"""LEOPQN and PQN: targets and losses of rollouts, exact values, Stable-Baselines3's interface, invalid arguments."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

import leo_envs  # noqa: F401
from leo_agents import LEOPQN, PQN
from leo_agents.algorithms.seen_per_rollout import SeenPerRollout
from leo_agents.replay.hindsight import hindsight_goals
from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper
from leo_wrappers.sb3 import JaxVecEnv, VecGoalSampler
from tests.line_env import LineEnv, line_goals, make_line
from tests.wanderer_env import Wanderer

SMALL = {"n_steps": 8, "batch_size": 16, "policy_kwargs": {"net_arch": [32]}, "device": "cpu", "seed": 0}
GAMMA = 0.99


def lines(n_envs=4, **kwargs):
    return DummyVecEnv([lambda: make_line(**kwargs)] * n_envs)


def make_model(env=None, kind=LEOPQN, **kwargs):
    policy = "MultiGoalPolicy" if kind is LEOPQN else "GoalInputPolicy"
    return kind(policy, lines() if env is None else env, **{**SMALL, **kwargs})


def weights(model):
    return th.cat([parameter.detach().flatten() for parameter in model.policy.parameters()]).numpy()


def grid(num_envs=4, **kwargs):
    return gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)


class Recorder:
    """Callback that records every step as Stable-Baselines3 returns it, with the terminal observations in the infos."""

    def __init__(self):
        self.steps = []

    def __call__(self, values, _):
        model = values["self"]
        self.steps.append(
            {
                "obs": model._last_obs["observation"].copy(),
                "goals": model._last_obs["goal_id"].copy(),
                "actions": values["actions"].copy(),
                "dones": values["dones"].copy(),
                "infos": [dict(info) for info in values["infos"]],
                "next_obs": values["new_obs"]["observation"].copy(),
            }
        )
        return True


def collect(model, rollouts=1):
    """Train, but stop before the update from the last rollout, and return the steps of that rollout."""
    recorder = Recorder()
    train = model.train
    model.train = lambda: None if len(recorder.steps) == rollouts * model.n_steps else train()
    model.learn(rollouts * model.n_steps * model.n_envs, callback=recorder)
    del model.train
    return recorder.steps[-model.n_steps :]


def true_next(step, row):
    return step["infos"][row]["terminal_observation"]["observation"] if step["dones"][row] else step["next_obs"][row]


def terminated(step, row):
    info = step["infos"][row]
    return step["dones"][row] and not info["TimeLimit.truncated"] and not info.get("ended_by_goal", False)


# --------------------------------------------------------------------------------------------------------------------------
# Targets and losses against hand-written ones, one transition and one goal at a time


EPISODE_ENDS = {
    "dummy": lambda: lines(3, start=None, trap=4, horizon=5),
    "ended by goals": lambda: VecGoalSampler(lines(3, start=None, trap=4, horizon=5), on_success="terminate"),
    "grid": lambda: grid(3, map=["..S", ".#.", "..."], start="random", time_limit=5, observation="coordinates"),
}


@pytest.mark.parametrize(
    ("kind", "network"),
    [(LEOPQN, {"head_kwargs": {"initial_value": 0.1}}), (PQN, {"initial_value": 0.1})],
    ids=["leo", "pqn"],
)
def test_initial_value(kind, network):
    model = make_model(kind=kind, policy_kwargs=network)
    np.testing.assert_allclose(model.q_values(np.array([[0.0], [3.0]], dtype=np.float32)), 0.1, rtol=1e-5)
    assert model.policy._get_constructor_parameters().items() >= network.items()


@pytest.mark.parametrize("kind", EPISODE_ENDS)
def test_the_rollouts_contain_all_kinds_of_episode_ends(kind):
    """Otherwise the tests of the targets below would not cover them."""
    steps = collect(make_model(EPISODE_ENDS[kind](), learning_rate=0.05), rollouts=2)
    ends = [(step, row) for step in steps for row in range(3) if step["dones"][row]]
    assert any(step["infos"][row]["TimeLimit.truncated"] for step, row in ends)
    assert any(terminated(step, row) for step, row in ends) == (kind != "grid")
    assert any(step["infos"][row].get("ended_by_goal", False) for step, row in ends) == (kind == "ended by goals")


@pytest.mark.parametrize(("q_lambda", "cut_tolerance"), [(0.0, None), (0.6, None), (1.0, None), (0.6, 0.0), (1.0, 0.05)])
@pytest.mark.parametrize("kind", EPISODE_ENDS)
def test_targets_of_all_goals(kind, q_lambda, cut_tolerance):
    model = make_model(EPISODE_ENDS[kind](), q_lambda=q_lambda, cut_tolerance=cut_tolerance, learning_rate=0.05)
    steps = collect(model, rollouts=2)
    continues = np.ones((model.n_steps, model.n_envs, len(model.goal_names)), dtype=bool)
    if cut_tolerance is not None:
        continues = np.stack([greedy_for(step, model, cut_tolerance) for step in steps])
        assert 0 < np.mean(continues) < 1
    targets = model.learner.rollout_targets(model.rollout_buffer).view(model.n_steps, model.n_envs, -1).numpy()
    for row, goal in np.ndindex(model.n_envs, targets.shape[2]):
        next_target = None  # target of the next step
        for number in reversed(range(model.n_steps)):
            step = steps[number]
            next_value = model.values(true_next(step, row))[0, goal]
            if next_target is not None and not step["dones"][row] and continues[number + 1][row, goal]:
                next_value = (1 - q_lambda) * next_value + q_lambda * next_target
            if step["infos"][row]["goals_achieved"][goal]:
                next_target = 1.0
            else:
                next_target = 0.0 if terminated(step, row) else GAMMA * next_value
            np.testing.assert_allclose(targets[number, row, goal], next_target, atol=1e-5)
    some = model.learner.rollout_targets(model.rollout_buffer, th.tensor([3, 1])).numpy()
    np.testing.assert_allclose(some, targets.reshape(-1, targets.shape[2])[:, [3, 1]], rtol=1e-6)


def greedy_for(step, model, tolerance):
    """Return for each environment and goal whether the taken action is greedy, up to a tolerance."""
    q_values = np.stack([model.q_values(obs)[0] for obs in step["obs"]])
    taken = np.take_along_axis(q_values, np.asarray(step["actions"])[:, None, None], axis=2)[:, :, 0]
    return taken >= (1 - tolerance) * q_values.max(axis=2) - 1e-6


@pytest.mark.parametrize("options", [{}, {"goals_per_update": 2}, {"loss": "squared"}, {"head": "factored"}], ids=str)
def test_loss_of_all_goals(options):
    model = make_model(lines(start=None), learning_rate=0.05, **options)
    steps = collect(model, rollouts=2)
    goals = model.learner.sample_goals()
    assert (goals is None) == ("goals_per_update" not in options)
    rows = th.tensor([3, 0, 30, 17])
    rollout = model.rollout_buffer
    targets = model.learner.rollout_targets(rollout, goals)[rows]
    loss = model.learner.loss(rollout.observations(rows), rollout.actions.flatten()[rows], targets, goals)
    expected = []
    for number, y in zip(rows.tolist(), targets.numpy(), strict=True):
        step, env = steps[number // 4], number % 4
        q = model.q_values(step["obs"][env])[0, :, step["actions"][env]]
        expected.append(loss_of(q if goals is None else q[goals], y, options.get("loss")))
    np.testing.assert_allclose(loss.item(), np.mean(expected), rtol=1e-4)


def loss_of(q, y, loss):
    return 0.5 * (q - y) ** 2 if loss == "squared" else -(y * np.log(q) + (1 - y) * np.log(1 - q))


@pytest.mark.parametrize("options", [{}, {"q_lambda": 0.6}, {"her_ratio": 0.7}], ids=str)
@pytest.mark.parametrize("kind", ["dummy", "ended by goals"])
def test_pqn_targets(kind, options):
    model = make_model(EPISODE_ENDS[kind](), PQN, learning_rate=0.05, **options)
    steps = collect(model, rollouts=2)
    rollout, q_lambda = model.rollout_buffer, options.get("q_lambda", 0.0)
    goal_ids = rollout.goal_ids[:-1].flatten()
    hindsight = hindsight_goals(rollout)
    relabeled = (hindsight >= 0) & (th.rand(len(rollout)) < model.her_ratio)
    goal_ids = th.where(relabeled, hindsight, goal_ids)
    assert (goal_ids != rollout.goal_ids[:-1].flatten()).any() == ("her_ratio" in options)
    targets = model.targets(rollout, goal_ids, relabeled).view(model.n_steps, -1).numpy()
    goals = goal_ids.view(model.n_steps, -1).numpy()
    for row in range(model.n_envs):
        next_target = None
        for number in reversed(range(model.n_steps)):
            step, goal = steps[number], goals[number, row]
            next_value = model.values(true_next(step, row))[0, goal]
            same_goal = next_target is not None and steps[number + 1]["goals"][row] == step["goals"][row]
            if same_goal and not step["dones"][row]:
                next_value = (1 - q_lambda) * next_value + q_lambda * next_target
            if step["infos"][row]["goals_achieved"][goal]:
                next_target = 1.0
            else:
                next_target = 0.0 if terminated(step, row) else GAMMA * next_value
            np.testing.assert_allclose(targets[number, row], next_target, atol=1e-5)


@pytest.mark.parametrize("loss", ["bce", "squared"])
def test_pqn_loss(loss):
    model = make_model(lines(start=None), PQN, learning_rate=0.05, loss=loss)
    steps = collect(model, rollouts=2)
    rows, goal_ids, targets = th.tensor([3, 0, 30, 17]), th.randint(0, 5, (32,)), th.rand(32, 1)
    expected = []
    for number in rows.tolist():
        step, env = steps[number // 4], number % 4
        q = model.q_values(step["obs"][env])[0, goal_ids[number], step["actions"][env]]
        expected.append(loss_of(q, targets[number].numpy(), loss))
    actual = model.compute_loss(model.rollout_buffer, rows, goal_ids, targets).item()
    np.testing.assert_allclose(actual, np.mean(expected), rtol=1e-4)


def test_her_ratio_is_the_fraction_of_relabeled_transitions(monkeypatch):
    model = make_model(lines(100, start=None), PQN, her_ratio=0.7)
    collect(model)
    calls = []
    targets = model.targets
    monkeypatch.setattr(model, "targets", lambda *args: calls.append(args) or targets(*args))
    model.train()
    [(rollout, goal_ids, relabeled)] = calls
    assert 0.6 < relabeled.float().mean() < 0.8  # every step achieves a goal
    assert th.equal(goal_ids[~relabeled], rollout.goal_ids[:-1].flatten()[~relabeled])


def test_hindsight_goals_are_those_achieved_later_in_the_episode():
    """Each of them is drawn, and no other goal."""
    model = make_model(lines(3, start=None, trap=4, horizon=5), n_steps=12, batch_size=12)
    steps = collect(model)
    expected = [[set() for _ in range(3)] for _ in steps]
    for row in range(3):
        later: set[int] = set()
        for number in reversed(range(len(steps))):
            later = set() if steps[number]["dones"][row] else later
            later = later | set(np.flatnonzero(steps[number]["infos"][row]["goals_achieved"]).tolist())
            expected[number][row] = later
    drawn = [[set() for _ in range(3)] for _ in steps]
    for _ in range(200):
        goals = hindsight_goals(model.rollout_buffer).view(-1, 3)
        for number, row in np.ndindex(len(steps), 3):
            drawn[number][row].add(int(goals[number, row]))
    assert drawn == expected


def test_masks_and_commanded_goals_in_the_rollout():
    model = make_model(grid(5))
    steps = collect(model)
    masks = np.stack([[info["goals_achieved"] for info in step["infos"]] for step in steps])
    rollout = model.rollout_buffer
    np.testing.assert_array_equal(rollout.goals_achieved().view(8, 5, -1).numpy(), masks)
    np.testing.assert_array_equal(rollout.goals_achieved(th.tensor([7, 2])).numpy(), masks.reshape(40, -1)[[7, 2]])
    commanded = np.stack([step["goals"] for step in steps])
    expected = np.take_along_axis(masks, commanded[:, :, None], 2)[:, :, 0]
    np.testing.assert_array_equal(rollout.goal_achieved().numpy(), expected)
    assert rollout.goal_achieved(th.as_tensor(masks.argmax(axis=2))).all()


# --------------------------------------------------------------------------------------------------------------------------
# Exact values


def test_exact_values_of_a_line():
    """Compare the values of all states and goals of a line with a trap to gamma ** (steps - 1)."""
    env = lines(16, length=6, start=None, trap=5, horizon=20)
    options = {"batch_size": 64, "exploration_final_eps": 1.0, "learning_rate": 3e-3, "gamma": 0.8}
    model = make_model(env, **options).learn(30_000)
    states = np.arange(5)
    distances = np.abs(states[:, None] - np.arange(6))
    # Goals count after a step: 1 step against the wall at state 0, elsewhere 2 steps to leave and return.
    steps = np.where(distances == 0, np.where(states[:, None] == 0, 1, 2), distances)
    observations = states.astype(np.float32)[:, None]
    np.testing.assert_allclose(model.values(observations), 0.8 ** (steps - 1), atol=0.06)
    away = distances > 0
    right = np.arange(6) > states[:, None]
    np.testing.assert_array_equal(model.q_values(observations).argmax(axis=2)[away], right[away])


def test_values_converge_to_the_optimal_values_of_a_grid():
    """Compare the values of all states, goals and actions."""
    maze = ["S..", ".#.", "..."]
    envs = grid(32, map=maze, start="random", time_limit=20)
    env = gym.make("leo/GridWorld-v0", map=maze).unwrapped
    options = {"batch_size": 64, "exploration_final_eps": 1.0, "learning_rate": 5e-3, "policy_kwargs": {"net_arch": [64]}}
    model = make_model(envs, gamma=0.8, **options).learn(16_000)
    np.testing.assert_allclose(model.q_values(env.all_observations()), env.optimal_q(0.8), atol=0.03)


# --------------------------------------------------------------------------------------------------------------------------
# Paper mode


def test_paper_mode_sets_the_defaults():
    model = make_model(lines(2), paper_mode=True, policy_kwargs=None, batch_size=512, n_steps=32)
    assert (model.loss, model.n_epochs, model.lr_schedule(1.0), model.lr_schedule(0.5)) == ("squared", 2, 2e-4, 1e-4)
    assert (model.exploration_initial_eps, model.exploration_final_eps, model.exploration_fraction) == (0.2, 0.01, 0.2)
    assert [type(layer).__name__ for layer in model.q_net.trunk[:4]] == ["FusedBatchRenorm", "Linear", "LayerNorm", "ReLU"]
    assert model.q_net.head.features_dim == 1024
    assert isinstance(model.goal_sampler.goal_selector, SeenPerRollout)
    other = make_model(lines(2), paper_mode=True, loss="bce", n_epochs=3, learning_rate=0.1, goal_selector="uniform")
    assert (other.loss, other.n_epochs, other.lr_schedule(0.5), other.q_net.head.features_dim) == ("bce", 3, 0.1, 32)
    assert not isinstance(other.goal_sampler.goal_selector, SeenPerRollout)


def test_goals_achieved_in_a_rollout_are_selected_after_it():
    model = make_model(lines(2, start=2), paper_mode=True, exploration_initial_eps=1.0)
    during, after = [], []
    model.train = lambda: after.append(model.goal_sampler.seen.nonzero()[0].tolist())
    model.learn(16, callback=lambda *_: during.append(model.goal_sampler.seen.nonzero()[0].tolist()) or True)
    assert during == [[2]] * 8
    assert len(after[0]) > 1


def test_acting_does_not_update_the_running_statistics():
    model = make_model(policy_kwargs={"net_arch": [32], "input_norm": True}).learn(96)
    norm = model.q_net.trunk[0]
    before = norm.ra_mean.clone()
    assert before.item() != 0.0
    model.q_values(np.zeros((5, 1), np.float32))
    collect(model)
    assert norm.ra_mean.item() == before.item() and norm.steps.item() > 0


# --------------------------------------------------------------------------------------------------------------------------
# Stable-Baselines3's interface


ENVIRONMENTS = {
    "single": make_line,
    "goal-conditioned": lambda: GoalConditionedWrapper(make_line()),
    "dummy": lambda: lines(3),
    "subproc": lambda: SubprocVecEnv([make_line] * 2, start_method="forkserver"),
    "sampler": lambda: VecGoalSampler(lines(2), goal_selector="uniform"),
    "normalized": lambda: VecNormalize(VecGoalSampler(lines(2)), norm_obs_keys=["observation"], norm_reward=False),
    "native": grid,
    "jax": lambda: JaxVecEnv(Wanderer(), num_envs=3),
}


@pytest.mark.filterwarnings("ignore:expected batch_size", "ignore:LEOPQN learns from many")
@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_environments(kind, tmp_path):
    model = make_model(ENVIRONMENTS[kind]()).learn(120)
    assert model._n_updates > 0 and np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    obs = model.env.reset()
    expected, _ = model.predict(obs, deterministic=True)
    loaded = LEOPQN.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], expected)
    assert loaded.goal_names == model.goal_names and isinstance(loaded.goal_names, tuple)
    with pytest.raises(ValueError, match="expected an environment to train in, got None; pass one to set_env"):
        loaded.learn(10)
    model.env.close()


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_loaded_models_can_train_with_another_number_of_environments(kind, tmp_path):
    model = make_model(kind=kind).learn(64)
    model.save(tmp_path / "model")
    loaded = kind.load(tmp_path / "model", env=lines(6))
    assert loaded.num_timesteps == 64
    loaded.learn(96, reset_num_timesteps=False)
    assert loaded.num_timesteps == 160 and loaded._n_updates == model._n_updates + 2 * 4 * 3


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_eval_callback_and_evaluate_policy(kind, tmp_path):
    eval_env = GoalConditionedWrapper(make_line())
    callback = EvalCallback(Monitor(eval_env), eval_freq=16, n_eval_episodes=3, log_path=str(tmp_path), verbose=0)
    model = make_model(kind=kind).learn(256, callback=callback, progress_bar=True)
    assert callback.evaluations_successes and len(callback.evaluations_timesteps) == 4
    assert np.isfinite(evaluate_policy(model, Monitor(eval_env), n_eval_episodes=3)[0])


@pytest.mark.parametrize("log_goals", [False, True])
def test_logged_values(log_goals, tmp_path):
    model = make_model(DummyVecEnv([lambda: Monitor(make_line())] * 4), log_goals=log_goals)
    model.set_logger(configure(str(tmp_path), ["csv", "stdout"]))
    model.learn(400)
    header = (tmp_path / "progress.csv").read_text().splitlines()[0]
    keys = ("goals/seen", "goals/success_rate", "train/loss", "rollout/success_rate", "rollout/exploration_rate")
    for key in (*keys, "rollout/ep_len_mean", "train/learning_rate"):
        assert key in header
    assert ("goal/at/3" in header) == log_goals
    model.logger.close()


def test_success_is_logged_with_lazily_created_infos():
    model = make_model(grid(4, time_limit=3)).learn(64)
    assert len(model.ep_success_buffer) > 0


def test_training_continues_after_a_callback_stopped_it():
    model = make_model().learn(1_000, callback=lambda values, _: values["self"].num_timesteps < 40)
    assert model.num_timesteps == 40
    assert model._last_obs["goal_id"].tolist() == model.goal_sampler.goals.tolist()
    assert model._last_obs["observation"][:, 0].tolist() == [env.unwrapped.position for env in model.env.unwrapped.envs]
    model.learn(64, reset_num_timesteps=False)
    assert model.num_timesteps == 104 and model._n_updates > 0


def test_goal_selector():
    model = make_model(goal_selector="at/3").learn(32)
    assert model.goal_sampler.goals.tolist() == [3] * 4


def test_set_env_keeps_the_goal_statistics():
    model = make_model().learn(64)
    seen = model.goal_sampler.seen
    model.set_env(lines(horizon=3))
    assert model.goal_sampler.seen.tolist() == seen.tolist() and seen.sum() > 1
    model.learn(32, reset_num_timesteps=False)


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_seed(kind):
    first, second, other = (make_model(kind=kind, seed=seed).learn(128) for seed in (1, 1, 2))
    np.testing.assert_array_equal(weights(first), weights(second))
    assert (weights(first) != weights(other)).any()


@pytest.mark.parametrize(
    "options",
    [
        {"q_lambda": 0.5},
        {"goals_per_update": 2},
        {"goal_reduction": "sum"},
        {"amp": True},
        {"loss": "squared"},
        {"head": "factored", "policy_kwargs": {"net_arch": [32], "head_kwargs": {"rank": 4}}},
        {"policy_kwargs": {"net_arch": [], "layer_norm": False, "input_norm": True}},
        {"policy_kwargs": {"net_arch": [32], "optimizer_class": th.optim.RAdam}},
        {"paper_mode": True},
        {"kind": PQN},
        {"kind": PQN, "her_ratio": 0.8, "policy_kwargs": {"descriptors": np.arange(5)[:, None], "net_arch": [32]}},
        {"kind": PQN, "amp": True, "paper_mode": True},
    ],
    ids=str,
)
def test_options(options, tmp_path):
    model = make_model(**options).learn(64)
    assert np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", env=lines())
    np.testing.assert_array_equal(weights(loaded), weights(model))
    assert loaded.minibatch_size == 16
    loaded.learn(32, reset_num_timesteps=False)


# --------------------------------------------------------------------------------------------------------------------------
# Actions and values


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_act_and_values(kind):
    model = make_model(kind=kind, learning_rate=0.05).learn(64)
    obs = np.array([2.0], dtype=np.float32)
    batch = np.arange(3, dtype=np.float32)[:, None]
    q = model.q_values(batch)
    assert q.shape == (3, 5, 2) and (0 <= q).all() and (q <= 1).all()
    for source in (model, model.policy):
        np.testing.assert_array_equal(source.q_values(batch), q)
        np.testing.assert_array_equal(source.values(batch), q.max(axis=-1))
    for goal_id, name in enumerate(model.goal_names):
        expected, _ = model.predict({"observation": obs, "goal_id": np.int64(goal_id)}, deterministic=True)
        assert model.act(obs, name) == model.act(obs, goal_id) == int(expected) == q[2, goal_id].argmax()
    np.testing.assert_allclose(model.expected_steps(batch), 1 + np.log(q.max(axis=-1)) / np.log(GAMMA), rtol=1e-5)


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_saving_and_loading_the_policy(kind, tmp_path):
    model = make_model(kind=kind, policy_kwargs={"net_arch": [16], "input_norm": True}).learn(64)
    model.policy.save(tmp_path / "policy")
    policy = type(model.policy).load(tmp_path / "policy")
    obs = np.array([2.0], dtype=np.float32)
    assert [policy.act(obs, goal) for goal in policy.goal_names] == [model.act(obs, goal) for goal in model.goal_names]


def test_exploration_is_independent_between_environments():
    model = make_model(lines(400))
    model.exploration_rate = 0.5
    obs = model.env.reset()
    greedy, _ = model.predict(obs, deterministic=True)
    explored = (model.predict(obs)[0] != greedy).mean()
    assert 0.15 < explored < 0.35, "half of the random actions equal the greedy one"


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
        (lambda: make_model(VecNormalize(lines(1))), "wrap the other way round"),
        (lambda: make_model(gym.make_vec("leo/GridWorld-v0", num_envs=2)), "autoreset_mode SAME_STEP"),
        (lambda: make_model(gamma=1.2), "gamma between 0 and 1, got 1.2"),
        (lambda: make_model(q_lambda=-0.1), "q_lambda between 0 and 1"),
        (
            lambda: make_model(cut_tolerance=0.1),
            r"expected q_lambda above 0 for cut_tolerance=0\.1, got 0; pass e\.g\. q_lambda",
        ),
        (lambda: make_model(exploration_final_eps=2.0), "exploration_final_eps between 0 and 1"),
        (lambda: make_model(exploration_fraction=float("nan")), "exploration_fraction between 0 and 1"),
        (lambda: make_model(n_epochs=0), "n_epochs of at least 1"),
        (lambda: make_model(n_steps=0), "n_steps of at least 1"),
        (lambda: make_model(max_grad_norm=0.0), "max_grad_norm above 0"),
        (lambda: make_model(goals_per_update=6), "goals_per_update from 1 to 5, got 6"),
        (lambda: make_model(loss="huber"), "loss to be one of"),
        (lambda: make_model(head="wide"), "head to be one of"),
        (lambda: make_model(goal_reduction="max"), 'goal_reduction "mean" or "sum"'),
        (lambda: make_model(policy_kwargs={"squash": False}), 'use loss="squared"'),
        (lambda: make_model(goal_selector="nowhere"), "got 'nowhere'"),
        (lambda: LEOPQN("MultiGoalPolicy", None, **SMALL), "expected an environment to read the goals from"),
        (lambda: make_model().set_env(DummyVecEnv([lambda: multi_goal(LineEnv(length=5)).env] * 4)), "wrap each with"),
        (lambda: make_model().act(np.zeros((3, 1), np.float32), 0), "single observation, got 3"),
        (lambda: make_model().predict(np.zeros(1, np.float32)), r"wrap the environment with .*or use act"),
        (lambda: make_model(kind=PQN, her_ratio=1.5), "her_ratio between 0 and 1"),
        (lambda: make_model(kind=PQN, her_ratio=0.5, q_lambda=0.5), "got both"),
        (lambda: make_model(kind=PQN, policy_kwargs={"descriptors": [[1.0]]}), r"descriptors of shape \[5, d\], got \(1, 1\)"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_load_rejects_other_goals(kind, tmp_path):
    make_model(kind=kind).save(tmp_path / "model")
    other = DummyVecEnv([lambda: MultiGoalWrapper(LineEnv(), line_goals().subset([1, 0, 2, 3, 4]))] * 4)
    with pytest.raises(ValueError, match="in another order"):
        kind.load(tmp_path / "model", env=other)


def test_warnings_of_uneven_minibatches_and_single_environments():
    model = make_model(lines(3), batch_size=7)
    with pytest.warns(UserWarning, match="8 x 3 = 24 transitions of a rollout, got 7; using 6"):
        model.learn(24)
    assert model._n_updates == 4 * 4
    with pytest.warns(UserWarning, match=r"got 1: use make_vec_env.*JaxVecEnv"):
        make_model(make_line(), batch_size=8).learn(8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_model().learn(32)


def test_a_loss_that_is_not_finite_raises_before_the_update():
    model = make_model()
    collect(model)
    before = weights(model)
    targets = model.learner.rollout_targets(model.rollout_buffer)
    targets[:, [2, 4]] = np.nan
    with pytest.raises(FloatingPointError, match=r"got NaN or infinity for 2 of 5 goals: at/2, at/4; .*lower learning_rate"):
        model.learner.fit(model.rollout_buffer, targets)
    np.testing.assert_array_equal(weights(model), before)


def test_a_rollout_too_large_for_the_memory_is_rejected():
    with pytest.raises(MemoryError, match="smaller n_steps or fewer environments"):
        make_model(n_steps=10**9)
