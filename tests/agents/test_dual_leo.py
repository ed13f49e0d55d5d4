"""Dual LEO: who acts, what is imitated, what a teacher's steps must not teach, and Stable-Baselines3's contract."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import leo_envs  # noqa: F401
from leo_agents import LEODQN, LEOPQN, PQN, DualLEOPPO, DualLEOPQN, JumpStart, distill
from leo_agents.baselines import goal_conditioned_ppo
from leo_agents.dual_leo import DualPolicy
from leo_agents.dual_leo.policies import ADVICE_KEY, WORTH_KEY
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


def small(kind, env=None, **kwargs):
    return kind("MultiInputPolicy", lines() if env is None else env, **{**SMALL, **NETWORKS, **kwargs})


def grid(num_envs=4, **kwargs):
    return gym.make_vec("leo/GridWorld-v0", num_envs=num_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)


def weights(module):
    return th.cat([parameter.detach().flatten() for parameter in module.parameters()]).numpy()


def finished(kind=LEOPQN, env=None, **kwargs):
    """An agent whose actions for the goals differ."""
    options = {"policy_kwargs": {"net_arch": [16]}, "device": "cpu", "seed": 3, "learning_rate": 0.02, **kwargs}
    options |= {"n_steps": 8, "batch_size": 16} if kind is LEOPQN else {"learning_starts": 20, "batch_size": 16}
    return kind("MultiGoalPolicy", lines(start=None) if env is None else env, **options).learn(256)


def all_actions(model):
    observations = np.repeat(STATES, 5, axis=0), np.tile(np.arange(5), 5)
    return model.predict(dict(zip(("observation", "goal_id"), observations, strict=True)), deterministic=True)[0]


def record_steps(model, rollouts=1):
    """What each step looked like to callbacks."""
    steps = []

    def callback(values, _):
        shown = {key: value.copy() for key, value in values["self"]._last_obs.items()}
        steps.append({"obs": shown, "actions": values["actions"].reshape(-1).copy(), "dones": values["dones"].copy()})
        return True

    model.learn(rollouts * model.n_steps * model.n_envs, callback=callback)
    return steps


# --------------------------------------------------------------------------------------------------------------------------
# DualLEOPQN: who acts


def different(model):
    """Gives student and teacher outputs that disagree everywhere."""
    th.manual_seed(4)
    for network in (model.policy.q_net, model.policy.teacher.q_net):
        for parameter in network.head.parameters():
            th.nn.init.normal_(parameter)
    return model


COMBINATIONS = {
    "mix": lambda student, teacher: 0.6 * student + 0.4 * teacher,
    "max": np.maximum,
    "min": np.minimum,
    "teacher": lambda _, teacher: teacher,
    "student": lambda student, _: student,
}


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_it_acts_by_both(combine):
    model = different(small(DualLEOPQN, combine=combine, teacher_weight=0.4))
    model.policy.teacher_weight.fill_(0.4)
    student = super(DualPolicy, model.policy).q_values(STATES)
    teacher = model.teacher.q_values(STATES)
    assert (student.argmax(-1) != teacher.argmax(-1)).any()
    expected = COMBINATIONS[combine](student, teacher)
    np.testing.assert_allclose(model.q_values(STATES), expected, atol=1e-6)
    np.testing.assert_array_equal(all_actions(model).reshape(5, 5), expected.argmax(axis=2))
    assert model.act(STATES[1], "at/3") == expected[1, 3].argmax()


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_with_all_the_weight_on_one_it_acts_exactly_as_that_one_in_training_too(weight):
    model = different(small(DualLEOPQN, teacher_weight=weight, exploration_initial_eps=0.0, exploration_final_eps=0.0))
    # So large that values saturate and only the outputs tell actions apart.
    for network in (model.policy.q_net, model.policy.teacher.q_net):
        for parameter in network.head.parameters():
            parameter.data *= 100.0
    model.train = lambda: None
    steps = record_steps(model)
    alone = model.teacher.policy if weight else model.policy.q_net
    for step in steps:
        obs = {key: th.as_tensor(value) for key, value in step["obs"].items()}
        np.testing.assert_array_equal(step["actions"], alone._predict(obs).numpy())
    np.testing.assert_array_equal(all_actions(model), all_actions(model.teacher.policy)) if weight else None


def test_a_student_that_listens_to_nobody_learns_as_if_alone():
    descriptors = line_goals().descriptors
    alone = PQN("GoalInputPolicy", lines(), policy_kwargs={"net_arch": [16], "descriptors": descriptors}, **SMALL).learn(256)
    dual = small(DualLEOPQN, teacher_weight=0.0).learn(256)
    np.testing.assert_array_equal(weights(dual.q_net), weights(alone.q_net))
    assert dual.teacher._n_updates == alone._n_updates > 0
    listening = small(DualLEOPQN, teacher_weight=0.5).learn(256)
    assert (weights(listening.q_net) != weights(alone.q_net)).any()


def test_the_weight_follows_its_schedule():
    model = small(DualLEOPQN, teacher_weight=lambda remaining: 0.8 * remaining)
    weights_seen = []
    model.learn(128, callback=lambda values, _: weights_seen.append(float(values["self"].policy.teacher_weight)) or True)
    np.testing.assert_allclose(weights_seen[::8], [0.8, 0.6, 0.4, 0.2])


# --------------------------------------------------------------------------------------------------------------------------
# DualLEOPPO: what is imitated


@pytest.mark.parametrize("env", [lines, grid], ids=["dummy", "native"])
def test_without_imitation_it_is_stable_baselines3s_ppo(env):
    options = {**SMALL, "n_epochs": 4, "ent_coef": 0.01, "learning_rate": 1e-3, "policy_kwargs": {"net_arch": [16]}}
    plain = goal_conditioned_ppo(env(), **options).learn(512)
    dual = small(DualLEOPPO, env(), teacher_coef=0.0).learn(512)
    assert type(plain) is PPO
    np.testing.assert_array_equal(weights(dual.policy), weights(plain.policy))
    assert dual.teacher._n_updates > 0
    imitating = small(DualLEOPPO, env(), teacher_coef=0.1).learn(512)
    assert (weights(imitating.policy) != weights(plain.policy)).any()


def imitation(policy, obs, actions, probabilities, worth):
    """The loss besides PPO's, by its definition."""
    distribution = policy.get_distribution(obs).distribution
    cross_entropy = -sum(
        probabilities[:, action] * distribution.log_prob(th.full_like(actions, action)) for action in range(2)
    ).mean()
    values = policy.predict_values(obs).flatten()
    return policy.teacher_coef * cross_entropy + policy.teacher_value_coef * (values - worth).square().mean()


def test_the_gradient_of_imitation_against_finite_differences():
    policy = small(DualLEOPPO).policy.double()
    policy.teacher_coef, policy.teacher_value_coef = 0.3, 0.7
    obs = {"observation": th.as_tensor(STATES).double(), "goal_id": th.tensor([[4], [0], [1], [2], [2]])}
    actions, probabilities = th.tensor([0, 1, 1, 0, 1]), th.rand(5, 2, dtype=th.float64).softmax(1)
    worth = th.rand(5, dtype=th.float64)
    _, log_prob, _ = policy.evaluate_actions({**obs, ADVICE_KEY: probabilities, WORTH_KEY: worth}, actions)
    # PPO's own loss is whatever comes after; here it has no gradient, so all there is comes from imitation.
    (0.0 * log_prob).sum().backward()
    largest = 0.0
    for parameter in policy.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.flatten()
        for index in range(0, len(flat), max(1, len(flat) // 7)):
            step = 1e-6
            flat[index] += step
            above = imitation(policy, obs, actions, probabilities, worth).item()
            flat[index] -= 2 * step
            below = imitation(policy, obs, actions, probabilities, worth).item()
            flat[index] += step
            largest = max(largest, abs(gradient[index].item()))
            np.testing.assert_allclose(gradient[index].item(), (above - below) / (2 * step), atol=1e-8, rtol=1e-5)
    assert largest > 1e-3


def test_imitation_adds_to_ppos_gradient():
    policy = small(DualLEOPPO).policy.double()
    policy.teacher_coef = 0.5
    obs = {"observation": th.as_tensor(STATES).double(), "goal_id": th.tensor([[4], [0], [1], [2], [2]])}
    actions, advice = th.tensor([0, 1, 1, 0, 1]), th.eye(2, dtype=th.float64)[[0, 1, 0, 1, 1]]
    parameters = [parameter for name, parameter in policy.named_parameters() if "value" not in name]
    _, log_prob, _ = policy.evaluate_actions({**obs, ADVICE_KEY: advice, WORTH_KEY: th.zeros(5)}, actions)
    found = th.autograd.grad((log_prob * 2.0).mean(), parameters, allow_unused=True)
    _, log_prob, _ = policy.evaluate_actions(obs, actions)
    total = (log_prob * 2.0).mean() + imitation(policy, obs, actions, advice, th.zeros(5))
    for mine, expected in zip(found, th.autograd.grad(total, parameters, allow_unused=True), strict=True):
        assert (mine is None) == (expected is None)
        if mine is not None:
            th.testing.assert_close(mine, expected)


@pytest.mark.parametrize("temperature", [0.0, 0.05])
def test_minibatches_come_with_what_the_teacher_says_about_their_states(temperature):
    teacher = finished()
    options = {"teacher": teacher, "teacher_kwargs": None, "teacher_update_fraction": 0.0}
    model = small(DualLEOPPO, lines(start=None), teacher_temperature=temperature, teacher_coef=0.1, **options)
    batches = []
    evaluate = model.policy.evaluate_actions
    model.policy.evaluate_actions = lambda obs, actions: batches.append(obs) or evaluate(obs, actions)
    model.learn(32)
    assert len(batches) == 2 * model.n_epochs
    for batch in batches:
        rows = np.arange(16)
        q = teacher.q_values(batch["observation"].numpy())[rows, batch["goal_id"].long().flatten().numpy()]
        expected = th.as_tensor(q / temperature).softmax(1).numpy() if temperature else np.eye(2)[q.argmax(axis=1)]
        np.testing.assert_allclose(batch[ADVICE_KEY].numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(batch[WORTH_KEY].numpy(), q.max(axis=1), atol=1e-6)


def test_an_ignorant_teacher_advises_nothing_in_particular():
    model = small(DualLEOPPO)
    probabilities = model._imitated(th.full((3, 4), 0.5))
    assert probabilities.tolist() == [[0.25] * 4 + [0.5]] * 3


@pytest.mark.parametrize("kind", BOTH)
def test_teacher_learns_what_leopqn_would_from_the_same_rollout(kind):
    """Its targets, with episodes that end in every way."""
    env = lines(3, start=None, trap=4, horizon=5) if kind is DualLEOPQN else None
    env = env or VecGoalSampler(lines(3, start=None, trap=4, horizon=5), on_success="terminate")
    model = small(kind, env, batch_size=12)
    model.learn(24)
    steps = []

    def callback(values, _):
        infos, new_obs = values["infos"], values["new_obs"]["observation"]
        rows = zip(infos, values["dones"], new_obs, strict=True)
        steps.append([(dict(info), bool(done), shown.copy()) for info, done, shown in rows])
        return True

    model.train = lambda: None
    model.learn(24, callback=callback, reset_num_timesteps=False)
    rollout = model.teacher.rollout_buffer
    _, targets = model.teacher._lesson(rollout)
    targets = targets.view(8, 3, 5).numpy()
    for number, rows in enumerate(steps):
        for row, (info, done, shown) in enumerate(rows):
            after = info["terminal_observation"]["observation"] if done else shown
            dies = done and not info["TimeLimit.truncated"] and not info.get("ended_by_goal", False)
            worth = 0.0 if dies else 0.99 * model.teacher.q_values(after)[0].max(axis=1)
            np.testing.assert_allclose(targets[number, row], np.where(info["goals_achieved"], 1.0, worth), atol=1e-5)
    assert any(done for rows in steps for _, done, _ in rows)


# --------------------------------------------------------------------------------------------------------------------------
# The share of goals that a teacher learns about


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(("fraction", "expected"), [(1.0, 5), (0.6, 3), (0.01, 1)])
def test_only_a_share_of_the_heads_is_updated(kind, fraction, expected):
    # Of its own: one that falls to 0 over the training is 0 after its only rollout.
    teacher_kwargs = {**NETWORKS["teacher_kwargs"], "learning_rate": 1e-2}
    model = small(kind, teacher_update_fraction=fraction, teacher_kwargs=teacher_kwargs)
    before = {name: value.clone() for name, value in model.teacher.q_net.head.named_parameters()}
    model.learn(32)
    for name, value in model.teacher.q_net.head.named_parameters():
        goals = [(value != before[name])[:, goal].any().item() for goal in range(5)]
        assert sum(goals) == expected, name


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("teacher_kind", [LEOPQN, LEODQN])
def test_a_finished_teacher_can_stay_as_it_is_or_learn_on(kind, teacher_kind):
    teacher = finished(teacher_kind)
    for fraction in (0.0, 1.0):
        model = small(kind, lines(start=None), teacher=teacher, teacher_update_fraction=fraction, teacher_kwargs=None)
        expected = teacher.q_values(STATES)
        np.testing.assert_array_equal(model.teacher.q_values(STATES), expected)
        model.learn(64)
        assert np.array_equal(model.teacher.q_values(STATES), expected) == (fraction == 0.0)
        np.testing.assert_array_equal(teacher.q_values(STATES), expected)


# --------------------------------------------------------------------------------------------------------------------------
# Roll-in


def test_the_teacher_begins_each_pursuit_and_hands_over_for_good():
    roll_in = JumpStart(steps=3)
    roll_in.seed(0)
    rng = np.random.default_rng(1)
    lengths, goals = [], np.zeros(50, dtype=np.int64)
    since, acted = np.zeros(50, dtype=int), np.zeros(50, dtype=int)
    for step in range(40):
        starts, switches = rng.random(50) < 0.05, rng.random(50) < 0.05
        goals = np.where(switches, goals + 1, goals)
        fresh = starts | switches | (step == 0)
        lengths += acted[fresh & (since > 3)].tolist()
        since[fresh], acted[fresh] = 0, 0
        teacher = roll_in.acts(starts, goals, 3)
        assert (teacher <= (acted == since)).all(), "never again once the student has acted"
        since, acted = since + 1, acted + teacher
    assert set(lengths) == {0, 1, 2, 3}


@pytest.mark.parametrize("kind", BOTH)
def test_roll_in_is_by_the_teacher_and_ends_on_schedule(kind):
    teacher = finished()
    options = {"exploration_initial_eps": 0.0, "exploration_final_eps": 0.0} if kind is DualLEOPQN else {}
    options |= {"teacher": teacher, "teacher_update_fraction": 0.0, "teacher_kwargs": None}
    options |= {"combine": "student"} if kind is DualLEOPQN else {}
    model = small(kind, lines(start=None, horizon=30), roll_in=JumpStart(1_000, fraction=0.5), **options)
    steps = record_steps(model, rollouts=4)
    by_teacher = []
    for step in steps:
        best = teacher.predict(step["obs"], deterministic=True)[0]
        by_teacher.append(step["actions"] == best)
    # From the third of four rollouts on nobody begins with the teacher any more, but some of its turns last.
    assert np.mean(by_teacher[:8]) > 0.95
    assert model.roll_in.limit(0.5) == 0


def test_steps_of_the_teacher_never_enter_ppos_loss():
    teacher = finished()
    options = {"teacher": teacher, "teacher_update_fraction": 0.0, "teacher_kwargs": None, "teacher_coef": 0.0}
    model = small(DualLEOPPO, lines(8, start=None), roll_in=JumpStart(4, fraction=1.0), n_epochs=1, **options)
    batches, turns = [], []
    evaluate, acts = model.policy.evaluate_actions, model.roll_in.acts
    model.policy.evaluate_actions = lambda obs, actions: batches.append((obs, actions)) or evaluate(obs, actions)
    model.roll_in.acts = lambda *args: turns.append(acts(*args)) or turns[-1]
    steps = record_steps(model)
    by_student = ~np.stack(turns)
    assert 0 < by_student.sum() < by_student.size
    columns = [np.stack([step["obs"][key].reshape(8) for step in steps]) for key in ("observation", "goal_id")]
    columns.append(np.stack([step["actions"] for step in steps]))
    expected = np.stack([column[by_student] for column in columns], axis=1)
    found = np.concatenate(
        [
            np.stack([obs["observation"].numpy().ravel(), obs["goal_id"].numpy().ravel(), acts.numpy()], 1)
            for obs, acts in batches
        ]
    )
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected.astype(found.dtype)))
    assert max(len(obs["goal_id"]) for obs, _ in batches) <= 16


def test_log_probabilities_and_advantages_are_those_of_the_students_own_steps():
    options = {"teacher": finished(), "teacher_update_fraction": 0.0, "teacher_kwargs": None}
    model = small(DualLEOPPO, lines(8, start=None), roll_in=JumpStart(4, fraction=1.0), **options)
    model.train = lambda: None
    model.learn(64)
    buffer, rollout = model.rollout_buffer, model.teacher.rollout_buffer
    with th.no_grad():
        obs = {"observation": th.as_tensor(buffer.observations["observation"]).flatten(0, 1)}
        obs["goal_id"] = th.as_tensor(buffer.observations["goal_id"]).flatten(0, 1)
        values, log_probs, _ = model.policy.evaluate_actions(obs, th.as_tensor(buffer.actions).flatten())
    own = buffer.by_student.flatten()
    np.testing.assert_allclose(buffer.log_probs.flatten()[own], log_probs.numpy()[own], atol=1e-5)
    np.testing.assert_array_equal(buffer.actions[:, :, 0], rollout.actions.numpy())
    # By the definition of generalised advantages: sums of the student's own errors alone.
    values, last = values.view(8, 8).numpy(), buffer.advantages[-1] + buffer.values[-1]
    assert np.isfinite(last).all()
    for env in range(8):
        for step in range(7):
            if not buffer.by_student[step, env] or buffer.episode_starts[step + 1, env]:
                continue
            assert buffer.by_student[step + 1, env], "what follows a student's step is the student's"
            error = buffer.rewards[step, env] + 0.99 * values[step + 1, env] - values[step, env]
            expected = error + 0.99 * 0.95 * buffer.advantages[step + 1, env]
            np.testing.assert_allclose(buffer.advantages[step, env], expected, atol=1e-5)


def test_a_rollout_without_the_student_teaches_it_nothing():
    options = {"teacher": finished(), "teacher_kwargs": {"learning_rate": 1e-2}, "roll_in": JumpStart(10)}
    model = small(DualLEOPPO, **options)
    model.roll_in.acts = lambda starts, goals, limit: np.ones(4, dtype=bool)
    before, teacher = weights(model.policy), weights(model.teacher.policy)
    model.learn(32)
    np.testing.assert_array_equal(weights(model.policy), before)
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
    model = small(kind, grid(32, map=maze, time_limit=20), **options)
    test = grid(10, map=maze, time_limit=20)
    assert evaluate_goals(model, test, seed=0).mean_success < 0.4
    report = evaluate_goals(model.learn(16_384 if kind is DualLEOPQN else 10_240), test, seed=0)
    # A student that is still learning may spoil a goal for both.
    assert report.mean_success > (0.8 if kind is DualLEOPQN else 0.95), report


@pytest.fixture(scope="module")
def maze_teacher():
    """An agent that knows a maze by heart."""
    options = {"policy_kwargs": {"net_arch": [64]}, "exploration_final_eps": 1.0, "learning_rate": 5e-3, "batch_size": 64}
    envs = grid(32, map=["S..", ".#.", "..."], start="random", time_limit=20)
    return LEOPQN("MultiGoalPolicy", envs, seed=0, device="cpu", n_steps=8, **options).learn(20_000)


@pytest.mark.parametrize("student_kind", ["pqn", "ppo"])
def test_a_distilled_student_does_what_its_teacher_does(student_kind, maze_teacher, tmp_path):
    teacher = maze_teacher
    before = teacher.goal_sampler.goal_selector.attempts.copy()
    table = gym.make("leo/GridWorld-v0", map=["S..", ".#.", "..."]).unwrapped.all_observations()
    student = distill(teacher, student_kind, steps=500, batch_size=128, descriptors=table, seed=0)
    np.testing.assert_array_equal(teacher.goal_sampler.goal_selector.attempts, before)
    q = teacher.q_values(table)
    chosen = [[student.policy.act(state, goal) for goal in range(8)] for state in table]
    given_up = q.max(-1) - np.take_along_axis(q, np.array(chosen)[:, :, None], 2)[:, :, 0]
    assert (given_up < 0.01).mean() > 0.97, "where actions are about as good, either will do"
    student.save(tmp_path / "student")
    again = type(student).load(tmp_path / "student")
    assert again.policy.act(table[0], 3) == chosen[0][3]


# --------------------------------------------------------------------------------------------------------------------------
# Stable-Baselines3's contract


ENVIRONMENTS = {
    "dummy": lambda: lines(4),
    "sampler": lambda: VecGoalSampler(lines(2), goal_selector="uniform", on_success="terminate"),
    "goal-conditioned": lambda: DummyVecEnv([lambda: GoalConditionedWrapper(make_line(), on_success="terminate")] * 2),
    "normalised": lambda: VecNormalize(
        VecGoalSampler(lines(2), on_success="terminate"), norm_obs_keys=["observation"], norm_reward=False
    ),
    "native": grid,
    "jax": lambda: JaxVecEnv(Wanderer(), num_envs=4),  # without a goal set
}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_runs_saves_and_loads_everywhere(kind, environment, tmp_path):
    goal_input = "one_hot" if environment == "jax" else "descriptor"
    model = small(kind, ENVIRONMENTS[environment](), goal_input=goal_input).learn(64)
    model.save(tmp_path / "model")
    obs = model.env.reset()
    expected, _ = model.predict(obs, deterministic=True)
    alone = kind.load(tmp_path / "model")
    np.testing.assert_array_equal(alone.predict(obs, deterministic=True)[0], expected)
    np.testing.assert_array_equal(weights(alone.teacher.policy), weights(model.teacher.policy))
    assert alone.goal_names == alone.teacher.goal_names == model.goal_names
    with pytest.raises(ValueError, match="give it one with set_env"):
        alone.learn(10)
    model.policy.save(tmp_path / "policy")
    policy = type(model.policy).load(tmp_path / "policy")
    np.testing.assert_array_equal(policy.predict(obs, deterministic=True)[0], expected)
    model.env.close()


@pytest.mark.parametrize("kind", BOTH)
def test_a_loaded_model_trains_on_with_any_number_of_environments(kind, tmp_path):
    model = small(kind, roll_in=JumpStart(3)).learn(64)
    model.save(tmp_path / "model")
    loaded = kind.load(tmp_path / "model", env=lines(6))
    loaded.learn(96, reset_num_timesteps=False)
    assert loaded.num_timesteps == 160
    with pytest.warns(UserWarning, match="batch_size to divide the 8 x 3 = 24 .* using 12"):
        assert kind.load(tmp_path / "model", env=lines(3)).batch_size == 12


@pytest.mark.parametrize("kind", BOTH)
def test_act_gives_a_plain_number(kind):
    model = small(kind)
    assert type(model.act(STATES[1], "at/3")) is int and type(model.policy.act(STATES[1], 3)) is int


@pytest.mark.parametrize(
    "options",
    [
        {"teacher_update_fraction": 0.6},
        {"roll_in": JumpStart(5)},
        {"goal_input": "one_hot"},
        {"descriptors": np.eye(5)},
        {"log_goals": True, "goal_selector": "least_achieved"},
        {"teacher_kwargs": {"paper_mode": True, "policy_kwargs": {"net_arch": [16]}, "loss": "squared", "head": "factored"}},
        {"kind": DualLEOPQN, "paper_mode": True, "teacher_kwargs": {"policy_kwargs": {"net_arch": [16]}}},
        {"kind": DualLEOPQN, "her_ratio": 0.5},
        {"kind": DualLEOPQN, "amp": True, "loss": "squared"},
        {"kind": DualLEOPPO, "teacher_value_coef": 0.5, "teacher_temperature": 0.02, "target_kl": 0.5, "clip_range_vf": 0.2},
    ],
)
@pytest.mark.parametrize("kind", BOTH)
def test_options(kind, options, tmp_path):
    options = dict(options)
    if options.pop("kind", kind) is not kind:
        pytest.skip("not an option of this form")
    model = small(kind, **options).learn(64)
    assert np.isfinite(weights(model.policy)).all() and np.isfinite(weights(model.teacher.policy)).all()
    model.save(tmp_path / "model")
    copy = kind.load(tmp_path / "model", env=lines())
    np.testing.assert_array_equal(weights(copy.policy), weights(model.policy))
    copy.learn(32, reset_num_timesteps=False)


@pytest.mark.parametrize("kind", BOTH)
def test_evaluation_tools_work_unmodified(kind, tmp_path):
    eval_env = GoalConditionedWrapper(make_line())
    callback = EvalCallback(Monitor(eval_env), eval_freq=16, n_eval_episodes=2, log_path=str(tmp_path), verbose=0)
    model = small(kind).learn(128, callback=callback)
    assert callback.evaluations_successes
    assert np.isfinite(evaluate_policy(model, Monitor(eval_env), n_eval_episodes=2)[0])
    assert len(evaluate_goals(model, lines(2), seed=0).attempts) == 5


@pytest.mark.parametrize("kind", BOTH)
def test_the_same_seed_is_the_same_run_and_another_is_another(kind):
    first, second, other = (small(kind, seed=seed, roll_in=JumpStart(4)).learn(128) for seed in (1, 1, 2))
    np.testing.assert_array_equal(weights(first.policy), weights(second.policy))
    assert (weights(first.policy) != weights(other.policy)).any()


@pytest.mark.parametrize("kind", BOTH)
def test_the_logger_hears_of_goals_student_and_teacher(kind, tmp_path):
    from stable_baselines3.common.logger import configure

    model = small(kind, DummyVecEnv([lambda: Monitor(make_line())] * 4), log_goals=True)
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(400)
    log = (tmp_path / "progress.csv").read_text()
    keys = ["goals/seen", "train/loss", "teacher/loss", "rollout/success_rate", "rollout/ep_len_mean", "goal/at/3"]
    keys += ["train/teacher_coef", "train/teacher_cross_entropy"] if kind is DualLEOPPO else ["rollout/exploration_rate"]
    assert [key for key in keys if key not in log] == []


# --------------------------------------------------------------------------------------------------------------------------
# Bad input


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
        ({"env": make_line}, "expected a vector of environments, got MultiGoalWrapper: use make_vec_env"),
        ({"batch_size": 0}, "batch_size of at least 1, got 0"),
        ({"n_steps": 0}, "n_steps of at least 1, got 0"),
        ({"teacher_update_fraction": 1.5}, "teacher_update_fraction between 0 and 1, got 1.5"),
        ({"teacher_update_fraction": 0.0}, "expected a finished teacher beside teacher_update_fraction=0"),
        ({"teacher_kwargs": {"seed": 3}}, r"teacher_kwargs among .*got \['seed'\]"),
        ({"teacher_kwargs": {"loss": "huber"}}, "loss to be one of"),
        ({"descriptors": np.eye(3)}, r"descriptors of shape \[5, d\], got \(3, 3\)"),
        ({"env": lambda: JaxVecEnv(Wanderer(), num_envs=4)}, 'pass descriptors, or goal_input="one_hot"'),
        ({"goal_input": "number"}, "goal_input to be one of"),
        ({"teacher": finished, "env": lambda: lines(length=6)}, "teacher of the 6 goals of the environment, got one of 5"),
        ({"teacher": finished, "env": reversed_goals}, "teacher of the 5 goals .*the same in another order"),
        (
            {"teacher": finished, "env": lambda: DummyVecEnv([lambda: MultiGoalWrapper(WideLine(), line_goals())] * 4)},
            r"teacher of the environment's observations, Box\(-1.0",
        ),
        (
            {"teacher": finished, "teacher_kwargs": {"policy_kwargs": {"net_arch": [8]}}},
            "which has its networks",
        ),
    ],
)
def test_bad_input(kind, options, message):
    options = {name: value() if callable(value) else value for name, value in options.items()}
    if "teacher" in options:
        options.setdefault("teacher_kwargs", None)
    with pytest.raises(ValueError, match=message):
        small(kind, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small(DualLEOPQN, teacher_weight=1.1), "teacher_weight between 0 and 1, got 1.1"),
        (lambda: small(DualLEOPQN, teacher_weight=lambda remaining: 2 * remaining), "teacher_weight between 0 and 1, got 2.0"),
        (lambda: small(DualLEOPQN, combine="sum"), "combine to be one of"),
        (lambda: small(DualLEOPPO, teacher_coef=-0.1), "teacher_coef between 0 and 1, got -0.1"),
        (lambda: small(DualLEOPPO, teacher_value_coef=2.0), "teacher_value_coef between 0 and 1"),
        (lambda: small(DualLEOPPO, teacher_temperature=-1.0), "teacher_temperature of at least 0"),
        (lambda: small(DualLEOPPO, VecGoalSampler(lines())), "expected on_success=\"terminate\", got 'switch'"),
        (lambda: JumpStart(-1), "steps of at least 0"),
        (lambda: JumpStart(3, fraction=0.0), "fraction above 0"),
        (lambda: distill(finished(), "dqn"), "student_kind to be one of"),
        (lambda: distill(finished(), "pqn", reversed_goals()), "in another order"),
        (lambda: distill(finished(), "pqn", steps=0), "steps of at least 1"),
        (lambda: goal_conditioned_ppo(lines(), policy="MlpPolicy"), "expected no policy"),
    ],
)
def test_more_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", BOTH)
def test_a_teacher_must_know_all_goals(kind):
    other = PQN("GoalInputPolicy", lines(), **SMALL)
    with pytest.raises(TypeError, match="expected a LEOPQN or a LEODQN as teacher, got PQN"):
        small(kind, teacher=other)
    with pytest.raises(TypeError, match="got PQN"):
        distill(other, "ppo")
