"""DualLEOPQN and DualLEOPPO: acting, imitation, the teacher's updates, jump-start, SB3's interface, invalid arguments."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import leo_envs  # noqa: F401
from leo_agents import LEODQN, LEOPQN, PQN, DualLEOPPO, DualLEOPQN, JumpStart, distill
from leo_agents.baselines import goal_conditioned_ppo
from leo_agents.baselines.pqn import PQNPolicy
from leo_agents.dual_leo.rollout_buffer import DualRolloutBufferSamples
from leo_agents.evaluation import evaluate_goals
from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper
from leo_wrappers.sb3 import JaxVecEnv, VecGoalSampler
from tests.line_env import LineEnv, line_goals, make_line
from tests.wanderer_env import Wanderer

BOTH = [DualLEOPQN, DualLEOPPO]
SMALL = {"n_steps": 8, "batch_size": 16, "device": "cpu", "seed": 0}
NETWORKS = {"policy_kwargs": {"net_arch": [16]}, "teacher_kwargs": {"policy_kwargs": {"net_arch": [16]}}}
STATES = np.arange(5, dtype=np.float32)[:, None]


def lines(n_envs=4, **kwargs):
    return DummyVecEnv([lambda: make_line(**kwargs)] * n_envs)


def make_model(kind, env=None, **kwargs):
    return kind("MultiGoalPolicy", lines() if env is None else env, **{**SMALL, **NETWORKS, **kwargs})


def grid(num_envs=4, **kwargs):
    return gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)


def weights(module):
    return th.cat([parameter.detach().flatten() for parameter in module.parameters()]).numpy()


def pretrained(kind=LEOPQN, env=None, **kwargs):
    """A trained agent whose actions depend on the goal."""
    options = {"policy_kwargs": {"net_arch": [16]}, "device": "cpu", "seed": 3, "learning_rate": 0.02, **kwargs}
    options |= {"n_steps": 8, "batch_size": 16} if kind is LEOPQN else {"learning_starts": 20, "batch_size": 16}
    return kind("MultiGoalPolicy", lines(start=None) if env is None else env, **options).learn(256)


def frozen(teacher):
    """Arguments for a pretrained teacher that is not updated."""
    return {"teacher": teacher, "teacher_update_fraction": 0.0, "teacher_kwargs": None}


def all_actions(model):
    obs = {"observation": np.repeat(STATES, 5, axis=0), "goal_id": np.tile(np.arange(5), 5)}
    return model.predict(obs, deterministic=True)[0]


def greedy_actions(network, obs):
    """The actions of one network alone, student's or teacher's."""
    with th.no_grad():
        return network.goal_outputs({"observation": th.as_tensor(obs["observation"])}, th.as_tensor(obs["goal_id"])).argmax(1)


def record_steps(model, rollouts=1):
    """Train and record observations and actions as callbacks receive them."""
    steps = []

    def callback(values, _):
        obs = {key: value.copy() for key, value in values["self"]._last_obs.items()}
        steps.append({"obs": obs, "actions": values["actions"].reshape(-1).copy()})
        return True

    model.learn(rollouts * model.n_steps * model.n_envs, callback=callback)
    return steps


def record_batches(model):
    """Record the minibatches of a DualLEOPPO's updates."""
    batches, loss_terms = [], model.loss_terms
    model.loss_terms = lambda batch, teacher_coef: batches.append(batch) or loss_terms(batch, teacher_coef)
    return batches


# --------------------------------------------------------------------------------------------------------------------------
# DualLEOPQN: acting


def randomize_heads(model, scale=1.0):
    """Draw new weights of both heads, so that student and teacher disagree."""
    th.manual_seed(4)
    for network in (model.policy.q_net, model.policy.teacher.q_net):
        for parameter in network.head.parameters():
            th.nn.init.normal_(parameter, std=scale)
    return model


COMBINATIONS = {
    "mix": lambda student, teacher: 0.6 * student + 0.4 * teacher,
    "max": np.maximum,
    "min": np.minimum,
    "teacher": lambda _, teacher: teacher,
    "student": lambda student, _: student,
}


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_actions_are_greedy_for_the_combined_values(combine):
    model = randomize_heads(make_model(DualLEOPQN, combine=combine, teacher_weight=0.4))
    model.policy.teacher_weight.fill_(0.4)
    student = PQNPolicy.q_values(model.policy, STATES)
    teacher = model.teacher.policy.q_values(STATES)
    assert (student.argmax(-1) != teacher.argmax(-1)).any()
    expected = COMBINATIONS[combine](student, teacher)
    np.testing.assert_allclose(model.q_values(STATES), expected, atol=1e-6)
    np.testing.assert_allclose(model.values(STATES), expected.max(axis=2), atol=1e-6)
    np.testing.assert_array_equal(all_actions(model).reshape(5, 5), expected.argmax(axis=2))
    assert model.act(STATES[1], "at/3") == expected[1, 3].argmax()


@pytest.mark.parametrize("teacher_weight", [0.0, 1.0])
def test_extreme_weights_give_the_actions_of_one_network(teacher_weight):
    """Also where values are saturated and only the outputs before the sigmoid differ."""
    options = {"exploration_initial_eps": 0.0, "exploration_final_eps": 0.0}
    model = randomize_heads(make_model(DualLEOPQN, teacher_weight=teacher_weight, **options), scale=100.0)
    model.train = lambda: None
    steps = record_steps(model)
    network, other = model.teacher.q_net, model.q_net
    if teacher_weight == 0.0:
        network, other = other, network
    for step in steps:
        np.testing.assert_array_equal(step["actions"], greedy_actions(network, step["obs"]))
    obs = {"observation": np.repeat(STATES, 5, axis=0), "goal_id": np.tile(np.arange(5), 5)}
    np.testing.assert_array_equal(all_actions(model), greedy_actions(network, obs))
    assert (greedy_actions(network, obs) != greedy_actions(other, obs)).any()


def test_teacher_weight_0_equals_pqn():
    policy_kwargs = {"net_arch": [16], "descriptors": line_goals().descriptors}
    pqn = PQN("GoalInputPolicy", lines(), policy_kwargs=policy_kwargs, **SMALL).learn(256)
    dual = make_model(DualLEOPQN, teacher_weight=0.0)
    before = weights(dual.teacher.policy)
    dual.learn(256)
    np.testing.assert_array_equal(weights(dual.q_net), weights(pqn.q_net))
    assert dual._n_updates == pqn._n_updates > 0
    assert (weights(dual.teacher.policy) != before).any()
    other = make_model(DualLEOPQN, teacher_weight=0.5).learn(256)
    assert (weights(other.q_net) != weights(pqn.q_net)).any()


def test_teacher_weight_follows_its_schedule():
    model = make_model(DualLEOPQN, teacher_weight=lambda remaining: 0.8 * remaining)
    weights_seen = []
    model.learn(128, callback=lambda values, _: weights_seen.append(float(values["self"].policy.teacher_weight)) or True)
    np.testing.assert_allclose(weights_seen[::8], [0.8, 0.6, 0.4, 0.2])


# --------------------------------------------------------------------------------------------------------------------------
# DualLEOPPO: imitation


@pytest.mark.parametrize(
    ("env", "more"), [(lines, {}), (grid, {}), (lines, {"target_kl": 1e-4})], ids=["dummy", "native", "early stopping"]
)
def test_teacher_coef_0_equals_ppo(env, more):
    options = {**SMALL, "n_epochs": 4, "ent_coef": 0.01, "learning_rate": 1e-3, "policy_kwargs": {"net_arch": [16]}}
    ppo = goal_conditioned_ppo(env(), **options, **more).learn(512)
    dual = make_model(DualLEOPPO, env(), teacher_coef=0.0, **more)
    before = weights(dual.teacher.policy)
    dual.learn(512)
    assert isinstance(ppo, PPO)
    np.testing.assert_array_equal(weights(dual.policy), weights(ppo.policy))
    assert (weights(dual.teacher.policy) != before).any()
    imitating = make_model(DualLEOPPO, env(), teacher_coef=0.1).learn(512)
    assert (weights(imitating.policy) != weights(ppo.policy)).any()


def ppo_batch(**kwargs):
    """A minibatch of random float64 numbers, with ratios on both sides of the clipping range."""
    th.manual_seed(1)
    fields = {
        "observations": {"observation": th.as_tensor(STATES).double(), "goal_id": th.tensor([[4], [0], [1], [2], [2]])},
        "actions": th.tensor([[0.0], [1.0], [1.0], [0.0], [1.0]]),
        "old_values": th.rand(5).double(),
        "old_log_prob": th.log(th.tensor([0.2, 0.9, 0.5, 0.45, 0.55])).double(),
        "advantages": th.randn(5).double(),
        "returns": th.rand(5).double(),
        "teacher_probs": th.rand(5, 2).double().softmax(dim=1),
        "teacher_values": th.rand(5).double(),
    }
    return DualRolloutBufferSamples(**{**fields, **kwargs})


def loss_by_definition(model, batch, teacher_coef):
    """PPO's loss plus the cross-entropy to the teacher's action probabilities and the squared difference of the values."""
    distribution = model.policy.get_distribution(batch.observations).distribution
    values = model.policy.predict_values(batch.observations).flatten()
    ratios = th.exp(distribution.log_prob(batch.actions.flatten()) - batch.old_log_prob)
    advantages = (batch.advantages - batch.advantages.mean()) / batch.advantages.std()
    surrogate = th.minimum(advantages * ratios, advantages * ratios.clamp(0.8, 1.2)).mean()
    clip_range_vf = float("inf") if model.clip_range_vf is None else model.clip_range_vf(1.0)
    clipped_values = batch.old_values + (values - batch.old_values).clamp(-clip_range_vf, clip_range_vf)
    ppo = -surrogate - 0.01 * distribution.entropy().mean() + 0.5 * (batch.returns - clipped_values).square().mean()
    log_probs = th.stack([distribution.log_prob(th.full((5,), action)) for action in range(2)], dim=1)
    cross_entropy = -(batch.teacher_probs * log_probs).sum() / 5
    value_loss = (values - batch.teacher_values).square().mean()
    return ppo + teacher_coef * cross_entropy + model.teacher_value_coef * value_loss


@pytest.mark.parametrize("clip_range_vf", [None, 0.3])
def test_loss_terms_against_the_definition_and_finite_differences(clip_range_vf):
    model = make_model(DualLEOPPO, teacher_value_coef=0.7, clip_range_vf=clip_range_vf)
    model.policy.double()
    batch = ppo_batch()
    terms = model.loss_terms(batch, 0.3)
    assert 0 < terms["clip_fraction"] < 1
    assert terms["loss"].item() == pytest.approx(loss_by_definition(model, batch, 0.3).item(), rel=1e-6)
    terms["loss"].backward()
    largest, step = 0.0, 1e-6
    with th.no_grad():
        for parameter in model.policy.parameters():
            flat, gradient = parameter.view(-1), parameter.grad.flatten()
            for index in range(0, len(flat), max(1, len(flat) // 7)):
                flat[index] += step
                above = loss_by_definition(model, batch, 0.3).item()
                flat[index] -= 2 * step
                below = loss_by_definition(model, batch, 0.3).item()
                flat[index] += step
                largest = max(largest, abs(gradient[index].item()))
                np.testing.assert_allclose(gradient[index].item(), (above - below) / (2 * step), atol=1e-7, rtol=1e-5)
    assert largest > 1e-2


def test_loss_terms_add_up():
    model = make_model(DualLEOPPO, teacher_value_coef=0.7)
    model.policy.double()
    terms = model.loss_terms(ppo_batch(), 0.3)
    plain = model.loss_terms(ppo_batch(teacher_probs=None, teacher_values=None), 0.3)
    assert "teacher_cross_entropy" not in plain and "teacher_value_loss" not in plain
    for name in ("policy_gradient_loss", "value_loss", "entropy_loss"):
        assert terms[name] == plain[name]
    ppo = plain["policy_gradient_loss"] + 0.01 * plain["entropy_loss"] + 0.5 * plain["value_loss"]
    th.testing.assert_close(plain["loss"], ppo)
    expected = ppo + 0.3 * terms["teacher_cross_entropy"] + 0.7 * terms["teacher_value_loss"]
    th.testing.assert_close(terms["loss"], expected)


@pytest.mark.parametrize("temperature", [0.0, 0.05])
def test_minibatches_contain_the_teachers_targets_of_their_states(temperature):
    teacher = pretrained()
    options = {"teacher_temperature": temperature, "teacher_coef": 0.1, **frozen(teacher)}
    model = make_model(DualLEOPPO, lines(start=None), **options)
    batches = record_batches(model)
    model.learn(32)
    assert len(batches) == 2 * model.n_epochs
    for batch in batches:
        goal_ids = batch.observations["goal_id"].long().flatten().numpy()
        q_values = teacher.q_values(batch.observations["observation"].numpy())[np.arange(16), goal_ids]
        greedy = np.eye(2)[q_values.argmax(axis=1)]
        expected = th.as_tensor(q_values / temperature).softmax(1).numpy() if temperature else greedy
        np.testing.assert_allclose(batch.teacher_probs.numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(batch.teacher_values.numpy(), q_values.max(axis=1), atol=1e-6)


def test_actions_of_equal_value_are_imitated_with_equal_probability():
    untrained = LEOPQN("MultiGoalPolicy", lines(), **SMALL, **{"policy_kwargs": {"net_arch": [16]}})
    model = make_model(DualLEOPPO, teacher_coef=0.1, **frozen(untrained))
    batches = record_batches(model)
    model.learn(32)
    assert batches
    for batch in batches:
        assert (batch.teacher_probs == 0.5).all()


# --------------------------------------------------------------------------------------------------------------------------
# The teacher's updates


@pytest.mark.parametrize("kind", BOTH)
def test_targets_of_the_teacher_by_definition(kind):
    """With terminated and truncated episodes, and such that end for the student only."""
    env = lines(3, start=None, trap=4, horizon=5)
    env = env if kind is DualLEOPQN else VecGoalSampler(env, on_success="terminate")
    model = make_model(kind, env, batch_size=12)
    model.learn(24)
    steps = []

    def callback(values, _):
        infos, new_obs = values["infos"], values["new_obs"]["observation"]
        rows = zip(infos, values["dones"], new_obs, strict=True)
        steps.append([(dict(info), bool(done), obs.copy()) for info, done, obs in rows])
        return True

    model.train = lambda: None
    model.learn(24, callback=callback, reset_num_timesteps=False)
    rollout = model.rollout_buffer if kind is DualLEOPQN else model.teacher_rollout
    targets = model.teacher.rollout_targets(rollout).view(8, 3, 5).numpy()
    for number, rows in enumerate(steps):
        for row, (info, done, obs) in enumerate(rows):
            next_obs = info["terminal_observation"]["observation"] if done else obs
            terminated = done and not info["TimeLimit.truncated"] and not info.get("ended_by_goal", False)
            next_value = 0.0 if terminated else 0.99 * model.teacher.policy.q_values(next_obs)[0].max(axis=1)
            np.testing.assert_allclose(targets[number, row], np.where(info["goals_achieved"], 1.0, next_value), atol=1e-5)
    assert any(done for rows in steps for _, done, _ in rows)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("fraction", "expected"), [(1.0, 5), (0.6, 3), (0.01, 1)])
def test_teacher_update_fraction_is_the_fraction_of_updated_heads(kind, fraction, expected):
    # Constant: a rate annealed to 0 is 0 after the only rollout.
    teacher_kwargs = {**NETWORKS["teacher_kwargs"], "learning_rate": 1e-2}
    model = make_model(kind, teacher_update_fraction=fraction, teacher_kwargs=teacher_kwargs)
    before = {name: value.clone() for name, value in model.teacher.q_net.head.named_parameters()}
    model.learn(32)
    for name, value in model.teacher.q_net.head.named_parameters():
        goals = [(value != before[name])[:, goal].any().item() for goal in range(5)]
        assert sum(goals) == expected, name


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("teacher_kind", [LEOPQN, LEODQN])
def test_a_pretrained_teacher_is_frozen_or_trained_further(kind, teacher_kind):
    teacher = pretrained(teacher_kind)
    expected = teacher.q_values(STATES)
    for fraction in (0.0, 1.0):
        model = make_model(kind, lines(start=None), **{**frozen(teacher), "teacher_update_fraction": fraction})
        np.testing.assert_array_equal(model.teacher.policy.q_values(STATES), expected)
        model.learn(64)
        assert np.array_equal(model.teacher.policy.q_values(STATES), expected) == (fraction == 0.0)
        np.testing.assert_array_equal(teacher.q_values(STATES), expected)


# --------------------------------------------------------------------------------------------------------------------------
# Jump-start


def test_the_teacher_takes_the_first_steps_towards_each_goal():
    """From 0 to 3 of them, and none after the student's first step."""
    jump_start = JumpStart(steps=3)
    jump_start.seed(0)
    rng = np.random.default_rng(1)
    lengths, goals = [], np.zeros(50, dtype=np.int64)
    num_steps, num_by_teacher = np.zeros(50, dtype=int), np.zeros(50, dtype=int)
    for step in range(40):
        starts, switches = rng.random(50) < 0.05, rng.random(50) < 0.05
        goals = np.where(switches, goals + 1, goals)
        restarted = starts | switches | (step == 0)
        lengths += num_by_teacher[restarted & (num_steps > 3)].tolist()
        num_steps[restarted], num_by_teacher[restarted] = 0, 0
        teacher_acts = jump_start.teacher_acts(starts, goals, 3)
        assert (teacher_acts <= (num_by_teacher == num_steps)).all()
        num_steps, num_by_teacher = num_steps + 1, num_by_teacher + teacher_acts
    assert set(lengths) == {0, 1, 2, 3}


def test_the_limit_is_annealed_to_0():
    assert [JumpStart(20, fraction=0.5).limit(remaining) for remaining in (1.0, 0.75, 0.5, 0.0)] == [20, 10, 0, 0]


@pytest.mark.parametrize("kind", BOTH)
def test_jump_start_actions_are_the_teachers(kind):
    teacher = pretrained()
    options = frozen(teacher)
    if kind is DualLEOPQN:
        options |= {"exploration_initial_eps": 0.0, "exploration_final_eps": 0.0, "combine": "student"}
    model = make_model(kind, lines(start=None, horizon=30), jump_start=JumpStart(1_000, fraction=0.5), **options)
    steps = record_steps(model)
    agreements = [step["actions"] == teacher.predict(step["obs"], deterministic=True)[0] for step in steps]
    assert np.mean(agreements) > 0.95


def test_ppo_is_updated_from_the_students_steps_only():
    options = {**frozen(pretrained()), "teacher_coef": 0.0, "n_epochs": 1}
    model = make_model(DualLEOPPO, lines(8, start=None), jump_start=JumpStart(4, fraction=1.0), **options)
    batches, by_teacher, teacher_acts = record_batches(model), [], model.jump_start.teacher_acts
    model.jump_start.teacher_acts = lambda *args: by_teacher.append(teacher_acts(*args)) or by_teacher[-1]
    steps = record_steps(model)
    by_student = ~np.stack(by_teacher)
    assert 0 < by_student.sum() < by_student.size
    columns = [np.stack([step["obs"][key].reshape(8) for step in steps]) for key in ("observation", "goal_id")]
    columns.append(np.stack([step["actions"] for step in steps]))
    expected = np.stack([column[by_student] for column in columns], axis=1)
    parts = [(batch.observations["observation"], batch.observations["goal_id"], batch.actions) for batch in batches]
    found = np.concatenate([np.stack([column.numpy().ravel() for column in part], axis=1) for part in parts])
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected.astype(found.dtype)))
    assert max(len(batch.actions) for batch in batches) <= 16


def test_log_probabilities_and_advantages_of_the_students_steps():
    model = make_model(DualLEOPPO, lines(8, start=None), jump_start=JumpStart(4, fraction=1.0), **frozen(pretrained()))
    model.train = lambda: None
    model.learn(64)
    buffer = model.rollout_buffer
    with th.no_grad():
        obs = {"observation": th.as_tensor(buffer.observations["observation"]).flatten(0, 1)}
        obs["goal_id"] = th.as_tensor(buffer.observations["goal_id"]).flatten(0, 1)
        values, log_probs, _ = model.policy.evaluate_actions(obs, th.as_tensor(buffer.actions).flatten())
    by_student = buffer.by_student.flatten()
    np.testing.assert_allclose(buffer.log_probs.flatten()[by_student], log_probs.numpy()[by_student], atol=1e-5)
    np.testing.assert_array_equal(buffer.actions[:, :, 0], model.teacher_rollout.actions.numpy())
    # Generalized advantages are sums of TD errors; after a student's step, all of them are the student's.
    values = values.view(8, 8).numpy()
    count = 0
    for env in range(8):
        for step in range(7):
            if not buffer.by_student[step, env] or buffer.episode_starts[step + 1, env]:
                continue
            assert buffer.by_student[step + 1, env]
            error = buffer.rewards[step, env] + 0.99 * values[step + 1, env] - values[step, env]
            expected = error + 0.99 * 0.95 * buffer.advantages[step + 1, env]
            np.testing.assert_allclose(buffer.advantages[step, env], expected, atol=1e-5)
            count += 1
    assert count > 10


def test_a_rollout_by_the_teacher_alone_updates_the_teacher_only():
    options = {"teacher": pretrained(), "teacher_kwargs": {"learning_rate": 1e-2}, "jump_start": JumpStart(10)}
    model = make_model(DualLEOPPO, **options)
    model.jump_start.teacher_acts = lambda starts, goals, limit: np.ones(4, dtype=bool)
    student, teacher = weights(model.policy), weights(model.teacher.policy)
    model.learn(32)
    np.testing.assert_array_equal(weights(model.policy), student)
    assert (weights(model.teacher.policy) != teacher).any()


# --------------------------------------------------------------------------------------------------------------------------
# Learning


@pytest.mark.parametrize("kind", BOTH)
def test_they_learn_a_maze(kind):
    maze = ["S...", ".##.", "...."]
    options = {"policy_kwargs": {"net_arch": [64]}, "teacher_kwargs": {"policy_kwargs": {"net_arch": [64]}}, "batch_size": 128}
    if kind is DualLEOPQN:
        options |= {
            "learning_rate": LinearSchedule(5e-3, 0.0, 1.0),
            "teacher_weight": LinearSchedule(1.0, 0.3, 1.0),
            "seed": 1,
        }
    else:
        options |= {"learning_rate": 3e-3}
    model = make_model(kind, grid(32, map=maze, time_limit=20), **options)
    eval_env = grid(10, map=maze, time_limit=20)
    assert evaluate_goals(model, eval_env, seed=0).mean_success < 0.4
    report = evaluate_goals(model.learn(16_384 if kind is DualLEOPQN else 10_240), eval_env, seed=0)
    # The combined values of DualLEOPQN are wrong for a goal where the student's still are.
    assert report.mean_success > (0.8 if kind is DualLEOPQN else 0.95), report


@pytest.fixture(scope="module")
def maze_teacher():
    """An agent that has learned all goals of a maze."""
    options = {"policy_kwargs": {"net_arch": [64]}, "exploration_final_eps": 1.0, "learning_rate": 5e-3, "batch_size": 64}
    envs = grid(32, map=["S..", ".#.", "..."], start="random", time_limit=20)
    return LEOPQN("MultiGoalPolicy", envs, seed=0, device="cpu", n_steps=8, **options).learn(20_000)


@pytest.mark.parametrize("student_kind", ["pqn", "ppo"])
def test_a_distilled_student_acts_like_its_teacher(student_kind, maze_teacher, tmp_path):
    """
    By the teacher's Q-values, most actions are optimal and nearly all others cost a single additional step.

    A step costs about ``1 - gamma = 0.01``: thresholds lie between those of whole numbers of steps.
    """
    attempts = maze_teacher.goal_sampler.goal_selector.attempts.copy()
    states = gym.make("leo/GridWorld-v0", map=["S..", ".#.", "..."]).unwrapped.all_observations()
    student = distill(maze_teacher, student_kind, steps=500, batch_size=128, descriptors=states, seed=0)
    np.testing.assert_array_equal(maze_teacher.goal_sampler.goal_selector.attempts, attempts)
    q_values = maze_teacher.q_values(states)
    actions = np.array([[student.policy.act(state, goal) for goal in range(8)] for state in states])
    losses = q_values.max(axis=2) - np.take_along_axis(q_values, actions[:, :, None], axis=2)[:, :, 0]
    assert (losses < 0.005).mean() > 0.8
    assert (losses < 0.015).mean() > 0.95
    student.save(tmp_path / "student")
    loaded = type(student).load(tmp_path / "student")
    assert loaded.policy.act(states[0], 3) == actions[0, 3]


# --------------------------------------------------------------------------------------------------------------------------
# Stable-Baselines3's interface


ENVIRONMENTS = {
    "dummy": lambda: lines(4),
    "sampler": lambda: VecGoalSampler(lines(2), goal_selector="uniform", on_success="terminate"),
    "goal-conditioned": lambda: DummyVecEnv([lambda: GoalConditionedWrapper(make_line(), on_success="terminate")] * 2),
    "normalized": lambda: VecNormalize(
        VecGoalSampler(lines(2), on_success="terminate"), norm_obs_keys=["observation"], norm_reward=False
    ),
    "native": grid,
    "jax": lambda: JaxVecEnv(Wanderer(), num_envs=4),  # without a goal set
}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environments_saving_and_loading(kind, environment, tmp_path):
    goal_input = "one_hot" if environment == "jax" else "descriptor"
    model = make_model(kind, ENVIRONMENTS[environment](), goal_input=goal_input).learn(64)
    model.save(tmp_path / "model")
    obs = model.env.reset()
    expected, _ = model.predict(obs, deterministic=True)
    loaded = kind.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], expected)
    np.testing.assert_array_equal(weights(loaded.teacher.policy), weights(model.teacher.policy))
    assert loaded.goal_names == loaded.teacher.policy.goal_names == model.goal_names
    with pytest.raises(ValueError, match="expected an environment to train in, got None; pass one to set_env"):
        loaded.learn(10)
    model.policy.save(tmp_path / "policy")
    policy = type(model.policy).load(tmp_path / "policy")
    np.testing.assert_array_equal(policy.predict(obs, deterministic=True)[0], expected)
    model.env.close()


@pytest.mark.parametrize("kind", BOTH)
def test_a_loaded_model_trains_with_any_number_of_environments(kind, tmp_path):
    model = make_model(kind, jump_start=JumpStart(3)).learn(64)
    model.save(tmp_path / "model")
    loaded = kind.load(tmp_path / "model", env=lines(6))
    loaded.learn(96, reset_num_timesteps=False)
    assert loaded.num_timesteps == 160
    with pytest.warns(UserWarning, match="batch_size to divide the 8 x 3 = 24 .* using 12"):
        assert kind.load(tmp_path / "model", env=lines(3)).batch_size == 12


@pytest.mark.parametrize("kind", BOTH)
def test_act_returns_an_int(kind):
    model = make_model(kind)
    assert type(model.act(STATES[1], "at/3")) is int and type(model.policy.act(STATES[1], 3)) is int


OPTIONS = [
    {"teacher_update_fraction": 0.6},
    {"jump_start": JumpStart(5)},
    {"goal_input": "one_hot"},
    {"descriptors": np.eye(5)},
    {"log_goals": True, "goal_selector": "least_achieved"},
    {"teacher_kwargs": {"paper_mode": True, "policy_kwargs": {"net_arch": [16]}, "loss": "squared", "head": "factored"}},
    {"teacher_kwargs": {"amp": True, "policy_kwargs": {"net_arch": [16]}}},
]
PQN_OPTIONS = [
    {"paper_mode": True, "teacher_kwargs": {"policy_kwargs": {"net_arch": [16]}}},
    {"her_ratio": 0.5},
    {"amp": True, "loss": "squared"},
]
PPO_OPTIONS = [{"teacher_value_coef": 0.5, "teacher_temperature": 0.02, "target_kl": 0.5, "clip_range_vf": 0.2}]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *[(kind, options) for kind in BOTH for options in OPTIONS],
        *[(DualLEOPQN, options) for options in PQN_OPTIONS],
        *[(DualLEOPPO, options) for options in PPO_OPTIONS],
    ],
)
def test_options(kind, options, tmp_path):
    model = make_model(kind, **options).learn(64)
    assert np.isfinite(weights(model.policy)).all() and np.isfinite(weights(model.teacher.policy)).all()
    model.save(tmp_path / "model")
    loaded = kind.load(tmp_path / "model", env=lines())
    np.testing.assert_array_equal(weights(loaded.policy), weights(model.policy))
    loaded.learn(32, reset_num_timesteps=False)


@pytest.mark.parametrize("kind", BOTH)
def test_evaluation_tools_work_unmodified(kind, tmp_path):
    eval_env = GoalConditionedWrapper(make_line())
    callback = EvalCallback(Monitor(eval_env), eval_freq=16, n_eval_episodes=2, log_path=str(tmp_path), verbose=0)
    model = make_model(kind).learn(128, callback=callback)
    assert callback.evaluations_successes
    assert np.isfinite(evaluate_policy(model, Monitor(eval_env), n_eval_episodes=2)[0])
    assert len(evaluate_goals(model, lines(2), seed=0).attempts) == 5


@pytest.mark.parametrize("kind", BOTH)
def test_runs_are_reproducible(kind):
    first, second, other = (make_model(kind, seed=seed, jump_start=JumpStart(4)).learn(128) for seed in (1, 1, 2))
    np.testing.assert_array_equal(weights(first.policy), weights(second.policy))
    assert (weights(first.policy) != weights(other.policy)).any()


@pytest.mark.parametrize("kind", BOTH)
def test_logged_values(kind, tmp_path):
    model = make_model(kind, DummyVecEnv([lambda: Monitor(make_line())] * 4), log_goals=True)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(400)
    log = (tmp_path / "progress.csv").read_text()
    keys = ["goals/seen", "train/loss", "teacher/loss", "rollout/success_rate", "rollout/ep_len_mean", "goal/at/3"]
    keys += ["train/teacher_coef", "train/teacher_cross_entropy"] if kind is DualLEOPPO else ["rollout/exploration_rate"]
    assert [key for key in keys if key not in log] == []


# --------------------------------------------------------------------------------------------------------------------------
# Invalid arguments


def reversed_goals():
    return DummyVecEnv([lambda: MultiGoalWrapper(LineEnv(), line_goals().subset([4, 3, 2, 1, 0]))] * 4)


class WideLine(LineEnv):
    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(-1.0, 4.0, (1,), np.float32)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": make_line}, "expected vectorized environments, got MultiGoalWrapper: use make_vec_env"),
        ({"batch_size": 0}, "batch_size of at least 1, got 0"),
        ({"n_steps": 0}, "n_steps of at least 1, got 0"),
        ({"teacher_update_fraction": 1.5}, "teacher_update_fraction between 0 and 1, got 1.5"),
        ({"teacher_update_fraction": 0.0}, "expected a pretrained teacher for teacher_update_fraction=0, got None"),
        ({"teacher_kwargs": {"seed": 3}}, r"teacher_kwargs among .*got \['seed'\]"),
        ({"teacher_kwargs": {"loss": "huber"}}, "loss to be one of"),
        ({"teacher_kwargs": {"n_epochs": 0}}, "n_epochs of at least 1"),
        ({"descriptors": np.eye(3)}, r"descriptors of shape \[5, d\], got \(3, 3\)"),
        ({"env": lambda: JaxVecEnv(Wanderer(), num_envs=4)}, 'pass descriptors, or goal_input="one_hot"'),
        ({"goal_input": "number"}, "goal_input to be one of"),
        ({"teacher": pretrained, "env": lambda: lines(length=6)}, "teacher of the 6 goals of the environment, got one of 5"),
        ({"teacher": pretrained, "env": reversed_goals}, "teacher of the 5 goals .*the same goals in another order"),
        (
            {"teacher": pretrained, "env": lambda: DummyVecEnv([lambda: MultiGoalWrapper(WideLine(), line_goals())] * 4)},
            r"teacher of the environment's observations, Box\(-1.0",
        ),
        (
            {"teacher": pretrained, "teacher_kwargs": {"policy_kwargs": {"net_arch": [8]}}},
            r"teacher_kwargs without \['policy_kwargs'\], got some: a pretrained teacher has its network",
        ),
    ],
)
def test_invalid_arguments(kind, options, message):
    options = {name: value() if callable(value) else value for name, value in options.items()}
    if "teacher" in options:
        options.setdefault("teacher_kwargs", None)
    with pytest.raises(ValueError, match=message):
        make_model(kind, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_model(DualLEOPQN, teacher_weight=1.1), "teacher_weight between 0 and 1, got 1.1"),
        (lambda: make_model(DualLEOPQN, teacher_weight=lambda remaining: 2 * remaining), "teacher_weight .*, got 2.0"),
        (lambda: make_model(DualLEOPQN, combine="sum"), "combine to be one of"),
        (lambda: make_model(DualLEOPPO, teacher_coef=-0.1), "teacher_coef between 0 and 1, got -0.1"),
        (lambda: make_model(DualLEOPPO, teacher_value_coef=2.0), "teacher_value_coef between 0 and 1"),
        (lambda: make_model(DualLEOPPO, teacher_temperature=-1.0), "teacher_temperature of at least 0"),
        (lambda: make_model(DualLEOPPO, VecGoalSampler(lines())), "expected on_success=\"terminate\", got 'switch'"),
        (lambda: JumpStart(-1), "steps of at least 0"),
        (lambda: JumpStart(3, fraction=0.0), "fraction above 0"),
        (lambda: distill(pretrained(), "dqn"), "student_kind to be one of"),
        (lambda: distill(pretrained(), "pqn", reversed_goals()), "in another order"),
        (lambda: distill(pretrained(), "pqn", steps=0), "steps of at least 1"),
        (lambda: distill(pretrained(), "pqn", buffer_size=0), "buffer_size of at least 1"),
        (lambda: goal_conditioned_ppo(lines(), policy="MlpPolicy"), "expected no policy"),
    ],
)
def test_invalid_arguments_of_one_class(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", BOTH)
def test_a_teacher_needs_values_of_all_goals(kind):
    other = PQN("GoalInputPolicy", lines(), **SMALL)
    with pytest.raises(TypeError, match="expected a LEOPQN or a LEODQN as teacher, got PQN"):
        make_model(kind, teacher=other)
    with pytest.raises(TypeError, match="got PQN"):
        distill(other, "ppo")
