import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import DQN
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecMonitor, VecNormalize

from leo_agents import LEODQN
from leo_agents.evaluation.evaluate import evaluate_goals
from leo_wrappers import GoalConditionedWrapper, GoalSet, MultiGoalWrapper
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler
from tests.line_env import LineEnv, line_goals, make_line


class ExactModel:
    """Walks straight to the commanded position, then oscillates around it."""

    def __init__(self, goals=range(5)):
        self.positions = np.array(goals)
        self.calls = 0

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        assert deterministic, "evaluation is greedy by default"
        self.calls += 1
        position = np.round(np.asarray(observation["observation"])[:, 0]).astype(int)
        return np.where(position < self.positions[observation["goal_id"]], 1, 0), state


class LeftModel(ExactModel):
    """Always moves left, whatever the goal."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.zeros(len(observation["goal_id"]), dtype=int), state


def conditioned(**kwargs):
    return GoalConditionedWrapper(make_line(**kwargs), goal_selector="round_robin", seed=3)


def vector(make, n_envs):
    return SyncVectorEnv([make] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP)


CHAINS = {
    "unconditioned": lambda n, **kw: DummyVecEnv([lambda: make_line(**kw)] * n),
    "gymnasium": lambda n, **kw: vector(lambda: make_line(**kw), n),
    "gym_vec_env": lambda n, **kw: GymVecEnv(vector(lambda: make_line(**kw), n)),
    "sampler": lambda n, **kw: VecGoalSampler(DummyVecEnv([lambda: make_line(**kw)] * n)),
    "sampler_that_terminates": lambda n, **kw: VecGoalSampler(
        DummyVecEnv([lambda: make_line(**kw)] * n), on_success="terminate"
    ),
    "normalized": lambda n, **kw: VecMonitor(
        VecNormalize(VecGoalSampler(DummyVecEnv([lambda: make_line(**kw)] * n)), norm_obs=False)
    ),
    "conditioned": lambda n, **kw: DummyVecEnv([lambda: conditioned(**kw)] * n),
    "conditioned_gymnasium": lambda n, **kw: GymVecEnv(vector(lambda: conditioned(**kw), n)),
}
ANY_CHAIN = pytest.mark.parametrize("chain", CHAINS)


@ANY_CHAIN
@pytest.mark.parametrize("n_envs", [1, 3])
def test_steps_of_the_exact_policy_equal_the_distances(chain, n_envs):
    """The number of episodes, ten, is not a multiple of three environments."""
    venv = CHAINS[chain](n_envs)
    report = evaluate_goals(ExactModel(), venv, episodes_per_goal=2)
    assert [steps.tolist() for steps in report.steps] == [[], [1, 1], [2, 2], [3, 3], [4, 4]]
    assert report.attempts.tolist() == [0, 2, 2, 2, 2] and report.already_true.tolist() == [2, 0, 0, 0, 0]
    assert np.isnan(report.success_rate[0]) and report.mean_success == 1.0 and report.num_learned() == 4
    venv.close()


@ANY_CHAIN
def test_same_seed_gives_same_report_for_any_number_of_environments(chain):
    """With random initial states, episode j is seeded with seed + j in any environment."""
    settings = {"start": None, "trap": 2, "horizon": 3}
    reports = []
    for n_envs in (1, 2, 4):
        venv = CHAINS[chain](n_envs, **settings)
        reports += [evaluate_goals(ExactModel(), venv, 4, seed=7) for _ in range(2)]
        venv.close()
    assert all(report == reports[0] for report in reports)
    expected = [
        expected_outcome(seed=7 + episode * 5 + goal, goal=goal, **settings) for goal in range(5) for episode in range(4)
    ]
    assert [sorted(s.tolist()) for s in reports[0].steps] == [
        sorted(steps for steps in expected[4 * goal : 4 * goal + 4] if steps > 0) for goal in range(5)
    ]
    assert reports[0].already_true.sum() == expected.count(0) > 0 and expected.count(-1) > 0


def expected_outcome(seed, goal, start, trap, horizon):
    """Expected outcome: 0 if achieved at the reset, -1 for failure, else the number of steps."""
    env = make_line(start=start)
    position = env.reset(seed=seed)[0][0]
    if position == goal:
        return 0
    for step in range(1, horizon + 1):
        position += 1 if position < goal else -1
        if position == goal:
            return step
        if position == trap:
            return -1
    return -1


@ANY_CHAIN
def test_attempt_ends_with_the_episode(chain):
    """A goal beyond the trap is a failure even if the next episode achieves it; goals achieved by the last step count."""
    venv = CHAINS[chain](2, trap=3)
    assert evaluate_goals(ExactModel(), venv).successes.tolist() == [0, 1, 1, 1, 0]
    venv.close()
    venv = CHAINS[chain](2, horizon=3)
    assert evaluate_goals(ExactModel(), venv).successes.tolist() == [0, 1, 1, 1, 0], "the last step counts"
    venv.close()


@pytest.mark.parametrize("make", [make_line, conditioned])
def test_subprocess_environments_give_the_same_report(make):
    """With random initial states and early termination."""
    settings = {"start": None, "trap": 2, "horizon": 3}
    venv = SubprocVecEnv([lambda: make(**settings)] * 2, start_method="forkserver")
    assert evaluate_goals(ExactModel(), venv, 3, seed=7) == evaluate_goals(ExactModel(), make_line(**settings), 3, seed=7)
    venv.close()


def test_max_steps_ends_attempts():
    env = make_line(horizon=10**9)
    report = evaluate_goals(ExactModel(), env, max_steps=2)
    assert report.successes.tolist() == [0, 1, 1, 0, 0] and report.attempts.tolist() == [0, 1, 1, 1, 1]


def test_batch_stops_when_all_episodes_are_done():
    model = ExactModel()
    evaluate_goals(model, DummyVecEnv([make_line] * 5))
    assert model.calls == 4, "as many steps as the distance of the farthest goal"


def test_selected_goals():
    report = evaluate_goals(ExactModel(), make_line(), goals=["at/3", 1])
    assert (
        report.goal_names == ("at/3", "at/1") and report.goal_ids.tolist() == [3, 1] and report.mean_steps.tolist() == [3, 1]
    )
    mask = np.array([False, False, True, False, True])
    assert evaluate_goals(ExactModel(), make_line(), goals=mask).goal_names == ("at/2", "at/4")


def test_training_state_is_unchanged():
    sampler = VecGoalSampler(DummyVecEnv([make_line] * 2), goal_selector="least_achieved", seed=5)
    venv = VecNormalize(sampler, norm_obs_keys=["observation"])
    venv.reset()
    for _ in range(3):
        venv.step(np.array([1, 0]))
    before, selector = sampler.goal_selector.state_dict(), sampler.goal_selector
    mean, count = venv.obs_rms["observation"].mean.copy(), venv.obs_rms["observation"].count
    global_state = np.random.get_state()[1].copy()

    evaluate_goals(LeftModel(), venv, 3, seed=1)

    assert sampler.goal_selector is selector and sampler.on_success == "switch" and venv.training
    after = sampler.goal_selector.state_dict()
    assert {key: np.array_equal(before[key], after[key]) for key in ("seen", "attempts", "successes")} == {
        "seen": True,
        "attempts": True,
        "successes": True,
    }
    assert before["rng"] == after["rng"]
    assert venv.obs_rms["observation"].count == count and np.array_equal(venv.obs_rms["observation"].mean, mean)
    assert np.array_equal(np.random.get_state()[1], global_state)


def test_sampler_is_restored_after_an_error():
    class Broken(ExactModel):
        def predict(self, *args, **kwargs):
            raise RuntimeError("no")

    sampler = VecGoalSampler(DummyVecEnv([make_line]))
    selector = sampler.goal_selector
    with pytest.raises(RuntimeError, match="no"):
        evaluate_goals(Broken(), sampler)
    assert sampler.goal_selector is selector and sampler.on_success == "switch"


def test_fixed_goals_are_restored():
    envs = [GoalConditionedWrapper(make_line(), goal="at/2"), GoalConditionedWrapper(make_line(), goal_selector="round_robin")]
    evaluate_goals(ExactModel(), DummyVecEnv([lambda env=env: env for env in envs]))
    assert [env.fixed_goal for env in envs] == [2, None]
    assert envs[0].reset()[0]["goal_id"] == 2


def test_trained_model():
    model = LEODQN("MultiGoalPolicy", make_line(horizon=20), learning_starts=100, seed=0, policy_kwargs={"net_arch": [32]})
    model.learn(1500)
    report = evaluate_goals(model, DummyVecEnv([make_line] * 2), seed=0)
    assert report.mean_success == 1.0 and report.mean_steps[1:].tolist() == [1, 2, 3, 4]


class NotGoals(gym.Env):
    observation_space, action_space = spaces.Box(0.0, 1.0, (1,)), spaces.Discrete(2)


class TestInvalidInput:
    @pytest.mark.parametrize("argument", [{"episodes_per_goal": 0}, {"max_steps": 0}])
    def test_counts_below_one(self, argument):
        with pytest.raises(ValueError, match="at least 1"):
            evaluate_goals(ExactModel(), make_line(), **argument)

    @pytest.mark.parametrize(
        ("goals", "error", "match"),
        [
            (["at/9"], ValueError, "nearest"),
            ([7], ValueError, "0 to 4"),
            ("at/1", TypeError, "single string"),
            ([], ValueError, "at least one goal"),
            ([1, "at/1"], ValueError, "more than once"),
            (np.zeros(3, dtype=bool), ValueError, "mask over the 5 goals"),
        ],
    )
    def test_goals(self, goals, error, match):
        with pytest.raises(error, match=match):
            evaluate_goals(ExactModel(), make_line(), goals=goals)

    def test_model_without_goal_observation(self):
        with pytest.raises(ValueError, match="observes 'goal_id'"):
            evaluate_goals(DQN("MlpPolicy", LineEnv(), buffer_size=10), make_line())

    def test_model_for_another_number_of_goals(self):
        model = DQN("MultiInputPolicy", conditioned(), buffer_size=10)
        evaluate_goals(model, make_line(), goals=[1])
        with pytest.raises(ValueError, match="6 goals of the environment, got one for 5"):
            evaluate_goals(model, make_line(length=6))

    @pytest.mark.parametrize("names", [("at/1", "at/0", "at/2", "at/3", "at/4"), ("at/0", "at/1")])
    def test_model_trained_on_other_goals(self, names):
        model = ExactModel()
        model.goal_names = names
        with pytest.raises(ValueError, match="in their order"):
            evaluate_goals(model, make_line())
        model.goal_names = list(line_goals().names)
        evaluate_goals(model, make_line())

    def test_environments_without_goals(self):
        with pytest.raises(ValueError, match="expected environments with goal_names"):
            evaluate_goals(ExactModel(), LineEnv())

    def test_normalization_below_the_sampler(self):
        with pytest.raises(ValueError, match="wrap the other way round"):
            evaluate_goals(ExactModel(), VecNormalize(DummyVecEnv([make_line])))

    def test_environments_without_set_goal(self):
        class WithoutSetGoal(gym.Wrapper):
            goal_names = line_goals().names
            observation_space = spaces.Dict({"observation": spaces.Box(0.0, 4.0, (1,)), "goal_id": spaces.Discrete(5)})

        with pytest.raises(ValueError, match="set_goal"):
            evaluate_goals(ExactModel(), WithoutSetGoal(LineEnv()))

    def test_set_goal_without_effect(self):
        class IgnoresSetGoal(GoalConditionedWrapper):
            def set_goal(self, goal):
                pass

        with pytest.raises(ValueError, match="another goal in observations"):
            evaluate_goals(ExactModel(), IgnoresSetGoal(make_line(), goal=3))


class TestPositions:
    def test_from_cell_names(self):
        goals = GoalSet(["cell/0,0", "cell/0,1"], lambda x: np.zeros((*x.shape[:-1], 2), dtype=bool))
        report = evaluate_goals(LeftModel(), MultiGoalWrapper(LineEnv(), goals))
        assert report.positions.tolist() == [[0.0, 0.0], [1.0, 0.0]] and report.axes == ("column", "row")

    def test_from_descriptors(self):
        def test(x):
            return np.zeros((*x.shape[:-1], 2), dtype=bool)

        placed = GoalSet(["a", "b"], test, descriptors=[[0.5, 1.0], [2.0, 3.0]])
        report = evaluate_goals(LeftModel(), MultiGoalWrapper(LineEnv(), placed), goals=["b"])
        assert report.positions.tolist() == [[2.0, 3.0]] and report.axes == ("x", "y")
        assert evaluate_goals(LeftModel(), MultiGoalWrapper(LineEnv(), GoalSet(["a", "b"], test))).positions is None

    def test_none_in_one_dimension(self):
        assert evaluate_goals(ExactModel(), make_line()).positions is None


class TestEpsilon:
    def test_random_actions_reach_goals_that_the_greedy_policy_misses(self):
        """A policy that always moves left achieves goals on its right only by random actions."""
        line = {"start": 0, "horizon": 60}
        greedy = evaluate_goals(LeftModel(), make_line(**line), 5, 0, goals=[2])
        noisy = evaluate_goals(LeftModel(), make_line(**line), 5, 0, goals=[2], epsilon=0.9)
        assert greedy.success_rate[0] == 0.0 and noisy.success_rate[0] > 0.5

    def test_every_environment_has_random_actions(self):
        venv = DummyVecEnv([lambda: make_line(start=0, horizon=60)] * 3)
        assert evaluate_goals(LeftModel(), venv, 6, 0, goals=[1], epsilon=0.9).successes.tolist() == [6]

    def test_same_seed_gives_same_report_without_the_global_generator(self):
        np.random.seed(3)
        reports = [evaluate_goals(LeftModel(), make_line(start=0), 5, 7, epsilon=0.5) for _ in range(2)]
        drawn = np.random.random()
        np.random.seed(3)
        assert reports[0] == reports[1] and drawn == np.random.random()

    @pytest.mark.parametrize("epsilon", [-0.1, 1.0])
    def test_invalid_value(self, epsilon):
        with pytest.raises(ValueError, match="expected epsilon"):
            evaluate_goals(LeftModel(), make_line(), epsilon=epsilon)
