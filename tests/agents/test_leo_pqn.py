import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
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


def small(env=None, kind=LEOPQN, **kwargs):
    policy = "MultiGoalPolicy" if kind is LEOPQN else "GoalInputPolicy"
    return kind(policy, lines() if env is None else env, **{**SMALL, **kwargs})


def weights(model):
    return th.cat([parameter.detach().flatten() for parameter in model.policy.parameters()]).numpy()


def grid(num_envs=4, **kwargs):
    return gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)


class Recorder:
    """A callback that keeps every step as Stable-Baselines3 shows it, terminal states out of the infos."""

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


def collected(model, rollouts=1):
    """The model before it learns from its last rollout, and that rollout as it should be."""
    recorder = Recorder()
    learn = model.train
    model.train = lambda: None if len(recorder.steps) == rollouts * model.n_steps else learn()
    model.learn(rollouts * model.n_steps * model.n_envs, callback=recorder)
    del model.train
    return recorder.steps[-model.n_steps :]


def true_next(step, row):
    return step["infos"][row]["terminal_observation"]["observation"] if step["dones"][row] else step["next_obs"][row]


def terminated(step, row):
    info = step["infos"][row]
    return step["dones"][row] and not info["TimeLimit.truncated"] and not info.get("ended_by_goal", False)


# --------------------------------------------------------------------------------------------------------------------------
# Targets against ones written by hand, one transition and one goal at a time


ENVIRONMENTS_WITH_ENDS = {
    "dummy": lambda: lines(3, start=None, trap=4, horizon=5),
    "goals end episodes": lambda: VecGoalSampler(lines(3, start=None, trap=4, horizon=5), on_success="terminate"),
    "grid": lambda: grid(3, map=["..S", ".#.", "..."], start="random", time_limit=5, observation="coordinates"),
}


@pytest.mark.parametrize(
    ("kind", "network"),
    [(LEOPQN, {"head_kwargs": {"initial_value": 0.1}}), (PQN, {"initial_value": 0.1})],
    ids=["leo", "single"],
)
def test_all_values_begin_where_they_are_told_to(kind, network):
    model = small(kind=kind, policy_kwargs=network)
    np.testing.assert_allclose(model.q_values(np.array([[0.0], [3.0]], dtype=np.float32)), 0.1, rtol=1e-5)
    assert model.policy._get_constructor_parameters().items() >= network.items()


@pytest.mark.parametrize("q_lambda", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("kind", ENVIRONMENTS_WITH_ENDS)
def test_targets_of_every_transition_and_goal(kind, q_lambda):
    model = small(ENVIRONMENTS_WITH_ENDS[kind](), q_lambda=q_lambda, learning_rate=0.05)
    steps = collected(model, rollouts=2)
    assert any(step["dones"].any() for step in steps)
    _, targets = model._lesson(model.rollout_buffer)
    targets = targets.view(model.n_steps, model.n_envs, -1).numpy()
    for row in range(model.n_envs):
        for goal in range(targets.shape[2]):
            following = None  # the return from the next step on, where the rollout goes on with it
            for number in reversed(range(model.n_steps)):
                step = steps[number]
                worth = model.q_values(true_next(step, row))[0, goal].max()
                if following is not None and not step["dones"][row]:
                    worth = (1 - q_lambda) * worth + q_lambda * following
                if step["infos"][row]["goals_achieved"][goal]:
                    following = 1.0
                else:
                    following = 0.0 if terminated(step, row) else GAMMA * worth
                np.testing.assert_allclose(targets[number, row, goal], following, atol=1e-5)


def test_all_kinds_of_ends_were_met():
    """What the test above is worth."""
    for kind, make in ENVIRONMENTS_WITH_ENDS.items():
        steps = collected(small(make(), learning_rate=0.05), rollouts=2)
        ends = [(step, row) for step in steps for row in range(3) if step["dones"][row]]
        assert any(step["infos"][row]["TimeLimit.truncated"] for step, row in ends)
        assert any(terminated(step, row) for step, row in ends) == (kind != "grid")
        assert any(step["infos"][row].get("ended_by_goal", False) for step, row in ends) == (kind == "goals end episodes")


@pytest.mark.parametrize("options", [{}, {"goals_per_update": 2}, {"loss": "squared"}, {"head": "factored"}], ids=str)
def test_the_loss_against_a_hand_written_one(options):
    model = small(lines(start=None), learning_rate=0.05, **options)
    steps = collected(model, rollouts=2)
    goals, targets = lesson = model._lesson(model.rollout_buffer)
    rows = th.tensor([3, 0, 30, 17])
    loss = model._loss(model.rollout_buffer, rows, lesson)
    expected = []
    for number in rows.tolist():
        step, env = steps[number // 4], number % 4
        q = model.q_values(step["obs"][env])[0, :, step["actions"][env]]
        q, y = (q if goals is None else q[goals]), targets[number].numpy()
        squared = 0.5 * (q - y) ** 2
        expected.append(squared if options.get("loss") == "squared" else -(y * np.log(q) + (1 - y) * np.log(1 - q)))
    np.testing.assert_allclose(loss.item(), np.mean(expected), rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"q_lambda": 0.6}, {"her_ratio": 0.7}], ids=str)
@pytest.mark.parametrize("kind", ["dummy", "goals end episodes"])
def test_single_goal_targets(kind, options):
    model = small(ENVIRONMENTS_WITH_ENDS[kind](), PQN, learning_rate=0.05, **options)
    steps = collected(model, rollouts=2)
    lesson = model._lesson(model.rollout_buffer)
    targets = lesson.targets.view(model.n_steps, -1).numpy()
    goals = lesson.goals.view(model.n_steps, -1).numpy()
    q_lambda, relabelled = options.get("q_lambda", 0.0), 0
    for row in range(model.n_envs):
        following = None
        for number in reversed(range(model.n_steps)):
            step, goal = steps[number], goals[number, row]
            own = step["goals"][row]
            relabelled += int(goal != own)
            worth = model.q_values(true_next(step, row))[0, goal].max()
            goes_on = following is not None and not step["dones"][row] and steps[number + 1]["goals"][row] == own
            if goes_on and q_lambda:
                worth = (1 - q_lambda) * worth + q_lambda * following
            if step["infos"][row]["goals_achieved"][goal]:
                following = 1.0
            else:
                following = 0.0 if terminated(step, row) else GAMMA * worth
            np.testing.assert_allclose(targets[number, row], following, atol=1e-5)
    assert (relabelled > 0) == ("her_ratio" in options)


def test_hindsight_goals_were_achieved_later_in_the_same_episode():
    model = small(lines(3, start=None, trap=4, horizon=5), n_steps=12, batch_size=12)
    steps = collected(model)
    later = [[set() for _ in range(3)] for _ in steps]
    for row in range(3):
        rest: set[int] = set()
        for number in reversed(range(len(steps))):
            rest = set() if steps[number]["dones"][row] else rest
            rest = rest | set(np.flatnonzero(steps[number]["infos"][row]["goals_achieved"]).tolist())
            later[number][row] = rest
    found = [[set() for _ in range(3)] for _ in steps]
    for _ in range(200):
        goals = hindsight_goals(model.rollout_buffer).view(-1, 3)
        for number in range(len(steps)):
            for row in range(3):
                found[number][row].add(int(goals[number, row]))
    assert found == later, "each can be drawn, and nothing else"


def test_masks_and_commanded_goals_come_out_of_the_bits():
    model = small(grid(5))
    steps = collected(model)
    masks = np.stack([[info["goals_achieved"] for info in step["infos"]] for step in steps])
    rollout = model.rollout_buffer
    np.testing.assert_array_equal(rollout.masks().view(8, 5, -1).numpy(), masks)
    own = np.stack([step["goals"] for step in steps])
    np.testing.assert_array_equal(rollout.hits().numpy(), np.take_along_axis(masks, own[:, :, None], 2)[:, :, 0])
    everywhere = th.as_tensor(masks.argmax(axis=2))
    assert rollout.hits(everywhere).all()


def test_it_learns_the_exact_values_of_a_line():
    """Every state and goal of a line with a trap, against gamma^(steps - 1)."""
    env = lines(16, length=6, start=None, trap=5, horizon=20)
    model = small(env, batch_size=64, exploration_final_eps=1.0, learning_rate=3e-3).learn(30_000)
    states = np.arange(5, dtype=np.float32)[:, None]
    q = model.q_values(states)
    for state in range(5):
        for goal in range(6):
            if goal == state and state != 0:
                continue  # out and back again: checked through the neighbours
            steps = abs(goal - state) if goal != state else 1  # at the left wall, stepping left stays
            np.testing.assert_allclose(q[state, goal].max(), GAMMA ** (steps - 1), atol=0.06)
            if goal != state:
                assert q[state, goal].argmax() == int(goal > state)


def test_its_values_converge_to_the_optimal_ones_of_a_grid():
    """For all states, goals and actions."""
    maze = ["S..", ".#.", "..."]
    envs = grid(32, map=maze, start="random", time_limit=20)
    world = gym.make("leo/GridWorld-v0", map=maze).unwrapped
    options = {"batch_size": 64, "exploration_final_eps": 1.0, "learning_rate": 5e-3, "policy_kwargs": {"net_arch": [64]}}
    model = small(envs, **options).learn(40_000)
    np.testing.assert_allclose(model.q_values(world.all_observations()), world.optimal_q(GAMMA), atol=0.06)


# --------------------------------------------------------------------------------------------------------------------------
# Paper mode


def test_paper_mode_is_the_papers_choice_unless_told_otherwise():
    model = small(lines(2), paper_mode=True, policy_kwargs=None, batch_size=512, n_steps=32)
    assert (model.loss, model.n_epochs, model.lr_schedule(1.0), model.lr_schedule(0.5)) == ("squared", 2, 2e-4, 1e-4)
    assert (model.exploration_initial_eps, model.exploration_final_eps, model.exploration_fraction) == (0.2, 0.01, 0.2)
    assert [type(layer).__name__ for layer in model.q_net.trunk[:4]] == ["FusedBatchRenorm", "Linear", "LayerNorm", "ReLU"]
    assert model.q_net.head.features_dim == 1024
    assert isinstance(model.goal_sampler.goal_selector, SeenPerRollout)
    mine = small(lines(2), paper_mode=True, loss="bce", n_epochs=3, learning_rate=0.1, goal_selector="uniform")
    assert (mine.loss, mine.n_epochs, mine.lr_schedule(0.5), mine.q_net.head.features_dim) == ("bce", 3, 0.1, 32)
    assert not isinstance(mine.goal_sampler.goal_selector, SeenPerRollout)


def test_what_a_rollout_saw_counts_from_its_end_on():
    model = small(lines(2, start=2), paper_mode=True, exploration_initial_eps=1.0)
    during, after = [], []
    model.train = lambda: after.append(model.goal_sampler.seen.nonzero()[0].tolist())
    model.learn(16, callback=lambda *_: during.append(model.goal_sampler.seen.nonzero()[0].tolist()) or True)
    assert during == [[2]] * 8
    assert len(after[0]) > 1


def test_batch_renormalisation_uses_its_running_statistics_while_acting():
    model = small(policy_kwargs={"net_arch": [32], "input_norm": True}).learn(96)
    norm = model.q_net.trunk[0]
    before = norm.ra_mean.clone()
    assert before.item() != 0.0
    model.q_values(np.zeros((5, 1), np.float32))
    collected(model)
    assert norm.ra_mean.item() == before.item() and norm.steps.item() > 0


# --------------------------------------------------------------------------------------------------------------------------
# Stable-Baselines3's contract


ENVIRONMENTS = {
    "single": make_line,
    "goal-conditioned": lambda: GoalConditionedWrapper(make_line()),
    "dummy": lambda: lines(3),
    "subproc": lambda: SubprocVecEnv([make_line] * 2, start_method="forkserver"),
    "sampler": lambda: VecGoalSampler(lines(2), goal_selector="uniform"),
    "normalised": lambda: VecNormalize(VecGoalSampler(lines(2)), norm_obs_keys=["observation"], norm_reward=False),
    "native": grid,
    "jax": lambda: JaxVecEnv(Wanderer(), num_envs=3),
}


@pytest.mark.filterwarnings("ignore:expected batch_size", "ignore:LEOPQN learns from many")
@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_it_runs_on_every_kind_of_environment(kind, tmp_path):
    model = small(ENVIRONMENTS[kind]()).learn(120)
    assert model._n_updates > 0 and np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    obs = model.env.reset()
    expected, _ = model.predict(obs, deterministic=True)
    alone = LEOPQN.load(tmp_path / "model")
    np.testing.assert_array_equal(alone.predict(obs, deterministic=True)[0], expected)
    assert alone.goal_names == model.goal_names and isinstance(alone.goal_names, tuple)
    with pytest.raises(ValueError, match="give it one with set_env"):
        alone.learn(10)
    model.env.close()


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_a_loaded_model_trains_on_with_any_number_of_environments(kind, tmp_path):
    model = small(kind=kind).learn(64)
    model.save(tmp_path / "model")
    loaded = kind.load(tmp_path / "model", env=lines(6))
    assert loaded.num_timesteps == 64
    loaded.learn(96, reset_num_timesteps=False)
    assert loaded.num_timesteps == 160 and loaded._n_updates == model._n_updates + 2 * 4 * 3


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_evaluation_tools_work_unmodified(kind, tmp_path):
    eval_env = GoalConditionedWrapper(make_line())
    callback = EvalCallback(Monitor(eval_env), eval_freq=16, n_eval_episodes=3, log_path=str(tmp_path), verbose=0)
    model = small(kind=kind).learn(256, callback=callback, progress_bar=True)
    assert callback.evaluations_successes and len(callback.evaluations_timesteps) == 4
    assert np.isfinite(evaluate_policy(model, Monitor(eval_env), n_eval_episodes=3)[0])


def test_the_logger_gets_aggregates_and_single_goals_on_request(tmp_path):
    from stable_baselines3.common.logger import configure

    for log_goals in (False, True):
        model = small(DummyVecEnv([lambda: Monitor(make_line())] * 4), log_goals=log_goals)
        model.set_logger(configure(str(tmp_path), ["csv", "stdout"]))
        model.learn(400)
        header = (tmp_path / "progress.csv").read_text().splitlines()[-1]
        keys = ("goals/seen", "goals/success_rate", "train/loss", "rollout/success_rate", "rollout/exploration_rate")
        for key in (*keys, "rollout/ep_len_mean", "train/learning_rate"):
            assert key in (tmp_path / "progress.csv").read_text(), header
        assert ("goal/at/3" in (tmp_path / "progress.csv").read_text()) == log_goals
        model.logger.close()


def test_success_is_counted_where_infos_are_only_made_on_request():
    model = small(grid(4, time_limit=3)).learn(64)
    assert len(model.ep_success_buffer) > 0


def test_a_callback_can_stop_it_and_it_can_go_on():
    model = small().learn(1_000, callback=lambda values, _: values["self"].num_timesteps < 40)
    assert model.num_timesteps == 40
    assert model._last_obs["goal_id"].tolist() == model.goal_sampler.goals.tolist()
    assert model._last_obs["observation"][:, 0].tolist() == [env.unwrapped.position for env in model.env.unwrapped.envs]
    model.learn(64, reset_num_timesteps=False)
    assert model.num_timesteps == 104 and model._n_updates > 0


def test_the_selector_of_the_users_choice():
    model = small(goal_selector="at/3").learn(32)
    assert model.goal_sampler.goals.tolist() == [3] * 4


def test_set_env_keeps_what_was_seen():
    model = small().learn(64)
    seen = model.goal_sampler.seen
    model.set_env(lines(horizon=3))
    assert model.goal_sampler.seen.tolist() == seen.tolist() and seen.sum() > 1
    model.learn(32, reset_num_timesteps=False)


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_the_same_seed_is_the_same_run_and_another_is_another(kind):
    first, second, other = (small(kind=kind, seed=seed).learn(128) for seed in (1, 1, 2))
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
    model = small(**options).learn(64)
    assert np.isfinite(weights(model)).all()
    model.save(tmp_path / "model")
    copy = type(model).load(tmp_path / "model", env=lines())
    np.testing.assert_array_equal(weights(copy), weights(model))
    assert copy.minibatch_size == 16
    copy.learn(32, reset_num_timesteps=False)


# --------------------------------------------------------------------------------------------------------------------------
# Steering


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_act_takes_names_and_bare_observations(kind):
    model = small(kind=kind, learning_rate=0.05).learn(64)
    obs = np.array([2.0], dtype=np.float32)
    q = model.q_values(np.stack([obs] * 3))
    assert q.shape == (3, 5, 2) and (0 <= q).all() and (q <= 1).all()
    for goal_id, name in enumerate(model.goal_names):
        expected, _ = model.predict({"observation": obs, "goal_id": np.int64(goal_id)}, deterministic=True)
        assert model.act(obs, name) == model.act(obs, goal_id) == int(expected) == q[0, goal_id].argmax()
    np.testing.assert_allclose(model.expected_steps(obs), 1 + np.log(model.q_values(obs).max(-1)) / np.log(0.99), rtol=1e-5)


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_the_policy_alone_loads_without_environment_and_algorithm(kind, tmp_path):
    model = small(kind=kind, policy_kwargs={"net_arch": [16], "input_norm": True}).learn(64)
    model.policy.save(tmp_path / "policy")
    policy = type(model.policy).load(tmp_path / "policy")
    obs = np.array([2.0], dtype=np.float32)
    assert [policy.act(obs, goal) for goal in policy.goal_names] == [model.act(obs, goal) for goal in model.goal_names]


def test_exploration_is_decided_for_each_environment():
    model = small(lines(400))
    model.exploration_rate = 0.5
    obs = model.env.reset()
    greedy, _ = model.predict(obs, deterministic=True)
    explored = (model.predict(obs)[0] != greedy).mean()
    assert 0.15 < explored < 0.35, "half of the random actions, at random, are the greedy one"


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
        (lambda: small(VecNormalize(lines(1))), "wrap the other way round"),
        (lambda: small(gym.make_vec("leo/GridWorld-v0", num_envs=2)), "autoreset_mode SAME_STEP"),
        (lambda: small(gamma=1.2), "gamma between 0 and 1, got 1.2"),
        (lambda: small(q_lambda=-0.1), "q_lambda between 0 and 1"),
        (lambda: small(exploration_final_eps=2.0), "exploration_final_eps between 0 and 1"),
        (lambda: small(exploration_fraction=float("nan")), "exploration_fraction between 0 and 1"),
        (lambda: small(n_epochs=0), "n_epochs of at least 1"),
        (lambda: small(n_steps=0), "n_steps of at least 1"),
        (lambda: small(max_grad_norm=0.0), "max_grad_norm above 0"),
        (lambda: small(goals_per_update=6), "goals_per_update from 1 to 5, got 6"),
        (lambda: small(loss="huber"), "loss to be one of"),
        (lambda: small(head="wide"), "head to be one of"),
        (lambda: small(goal_reduction="max"), "goal_reduction"),
        (lambda: small(policy_kwargs={"squash": False}), 'use loss="squared"'),
        (lambda: small(goal_selector="nowhere"), "got 'nowhere'"),
        (lambda: LEOPQN("MultiGoalPolicy", None, **SMALL), "expected an environment to learn the goals of"),
        (lambda: small().set_env(DummyVecEnv([lambda: multi_goal(LineEnv(length=5)).env] * 4)), "wrap each with"),
        (lambda: small().act(np.zeros((3, 1), np.float32), 0), "single observation, got 3"),
        (lambda: small().predict(np.zeros(1, np.float32)), r"wrap the environment with .*or use act"),
        (lambda: small(kind=PQN, her_ratio=1.5), "her_ratio between 0 and 1"),
        (lambda: small(kind=PQN, her_ratio=0.5, q_lambda=0.5), "got both"),
        (lambda: small(kind=PQN, policy_kwargs={"descriptors": [[1.0]]}), r"descriptors of shape \[5, d\], got \(1, 1\)"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", [LEOPQN, PQN])
def test_load_refuses_other_goals(kind, tmp_path):
    small(kind=kind).save(tmp_path / "model")
    other = DummyVecEnv([lambda: MultiGoalWrapper(LineEnv(), line_goals().subset([1, 0, 2, 3, 4]))] * 4)
    with pytest.raises(ValueError, match="in another order"):
        kind.load(tmp_path / "model", env=other)


def test_rollouts_that_no_batch_divides_and_single_environments_are_warned_of():
    model = small(lines(3), batch_size=7)
    with pytest.warns(UserWarning, match="8 x 3 = 24 transitions of a rollout, got 7; using 6"):
        model.learn(24)
    assert model._n_updates == 4 * 4
    with pytest.warns(UserWarning, match=r"got 1: use make_vec_env.*JaxVecEnv"):
        small(make_line(), batch_size=8).learn(8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small().learn(32)


def test_a_loss_that_is_not_finite_stops_before_the_update():
    model = small()
    collected(model)
    before = weights(model)
    model.rollout_buffer._states["observation"][:] = np.nan
    with pytest.raises(FloatingPointError, match=r"at step 32, for 5 of 5 goals: at/0, at/1, .*checkpoint is untouched"):
        model.train()
    np.testing.assert_array_equal(weights(model), before)


def test_a_rollout_that_cannot_fit_is_refused_before_it_is_made():
    with pytest.raises(MemoryError, match="smaller n_steps or fewer environments"):
        small(n_steps=10**9)
