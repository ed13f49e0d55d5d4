"""Evaluation on random goals of a goal environment."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env

from leo_agents import LEOSAC
from leo_agents.evaluation import GoalEvalCallback, evaluate_random_goals, plot_report, read_curve
from tests.agents.plane_point import TOLERANCE, PlanePoint


class Greedy:
    """Moves straight towards the desired goal, at full speed in each coordinate; knows only goals to the right of 0."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        difference = observation["desired_goal"] - observation["achieved_goal"]
        knows = observation["desired_goal"][:, :1] >= 0
        return np.where(knows, np.clip(difference / 0.2, -1, 1), 0.0).astype(np.float32), state


class MorePoint(PlanePoint):
    """Observes one more entry."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = gym.spaces.Dict({**self.observation_space.spaces, "more": self.action_space})


def expected_steps(seed):
    """The number of steps of the greedy agent in an episode, 0 if its goal is true at the reset, -1 if it fails."""
    env = PlanePoint()
    obs, _ = env.reset(seed=seed)
    position, goal = obs["achieved_goal"].astype(float), obs["desired_goal"].astype(float)
    if np.linalg.norm(position - goal) <= TOLERANCE:
        return 0
    for step in range(1, 21):
        if goal[0] >= 0:
            position += np.clip(goal - position, -0.2, 0.2)
        if np.linalg.norm(position - goal) <= TOLERANCE:
            return step
    return -1


@pytest.mark.parametrize("n_envs", [1, 3])
def test_successes_and_steps_are_those_of_each_episode(n_envs, tmp_path):
    report = evaluate_random_goals(Greedy(), make_vec_env(PlanePoint, n_envs), 20, seed=7)
    expected = [expected_steps(7 + episode) for episode in range(20)]
    assert report.already_true.tolist() == [int(steps == 0) for steps in expected]
    assert report.attempts.tolist() == [int(steps != 0) for steps in expected]
    assert [steps.tolist() for steps in report.steps] == [[steps] if steps > 0 else [] for steps in expected]
    assert report.mean_success == pytest.approx(np.mean([steps > 0 for steps in expected if steps != 0]))
    plot_report(report, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 1000


def test_given_points_replace_the_goals_of_the_environment():
    goals = [[0.9, 0.9], [-0.9, -0.9], [0.5, -0.5]]
    report = evaluate_random_goals(Greedy(), PlanePoint(), goals=goals, seed=0)
    assert report.goal_names == ("goal/0.9,0.9", "goal/-0.9,-0.9", "goal/0.5,-0.5")
    assert report.success_rate[[0, 2]].tolist() == [1.0, 1.0] and report.success_rate[1] == 0.0


def test_later_episodes_attempt_the_goals_of_the_first_ones():
    report = evaluate_random_goals(Greedy(), make_vec_env(PlanePoint, 3), 8, seed=7, episodes_per_goal=3)
    first = evaluate_random_goals(Greedy(), PlanePoint(), 8, seed=7)
    assert report.goal_names == first.goal_names and (report.attempts + report.already_true == 3).all()
    points = [PlanePoint().reset(seed=7 + number)[0]["desired_goal"] for number in range(8)]
    later = [evaluate_random_goals(Greedy(), PlanePoint(), goals=points, seed=7 + 8 * episode) for episode in (1, 2)]
    for goal in range(8):
        assert report.steps[goal].tolist() == [step for part in (first, *later) for step in part.steps[goal].tolist()]


def test_random_actions_with_probability_epsilon():
    goals = np.random.default_rng(0).uniform(-1, 1, (30, 2)) * [0.2, 1.0]
    greedy, mixed = (evaluate_random_goals(Greedy(), PlanePoint(), goals=goals, seed=0, epsilon=p) for p in (0.0, 0.9))
    assert greedy.success_rate[goals[:, 0] >= 0].mean() == 1.0
    assert np.concatenate(mixed.steps).mean() > 1.5 * np.concatenate(greedy.steps).mean()
    again = evaluate_random_goals(Greedy(), PlanePoint(), goals=goals, seed=0, epsilon=0.9)
    assert again == mixed


@pytest.mark.parametrize("goals", [None, [[0.5, 0.5], [0.9, -0.9]]])
def test_the_callback_evaluates_points(goals, tmp_path):
    callback = GoalEvalCallback(PlanePoint(), 20, goals=goals, seed=3, csv_path=tmp_path / "curve.csv", verbose=0)
    model = LEOSAC("MultiGoalPolicy", PlanePoint(), policy_kwargs={"net_arch": [8]}, seed=0).learn(40, callback)
    expected = evaluate_random_goals(model, PlanePoint(), goals=goals, seed=3)
    assert callback.last_report == expected and len(expected) == (100 if goals is None else 2)
    curve = read_curve(tmp_path / "curve.csv")
    assert curve.timesteps.tolist() == [20, 40] and np.array_equal(
        curve.success_rate[1], expected.success_rate, equal_nan=True
    )


def test_the_callback_rejects_a_model_of_other_goals():
    model = LEOSAC("MultiGoalPolicy", PlanePoint(), seed=0)
    with pytest.raises(ValueError, match="a model that reads"):
        model.learn(1, GoalEvalCallback(MorePoint()))


def test_steps_are_limited():
    report = evaluate_random_goals(Greedy(), PlanePoint(), goals=[[0.9, 0.9]], seed=0, max_steps=1)
    assert report.success_rate.tolist() == [0.0]


@pytest.mark.parametrize(
    "env, kwargs, message",
    [
        (gym.make("CartPole-v1"), {}, "use evaluate_goals for a finite goal set"),
        (PlanePoint(), {"goals": [[0.0]]}, r"expected finite goals of shape \[M, 2\], got an array of shape \(1, 1\)"),
        (PlanePoint(), {"goals": [[0.0, np.nan]]}, "expected finite goals"),
        (PlanePoint(), {"n_eval_episodes": 0}, "n_eval_episodes"),
        (PlanePoint(), {"max_steps": 0}, "max_steps"),
        (PlanePoint(), {"episodes_per_goal": 0}, "episodes_per_goal"),
        (PlanePoint(), {"epsilon": 1.0}, "epsilon"),
    ],
)
def test_bad_arguments_are_rejected(env, kwargs, message):
    with pytest.raises(ValueError, match=message):
        evaluate_random_goals(Greedy(), env, **kwargs)
