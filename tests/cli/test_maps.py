"""Maps of success and values of goals with positions."""

import os
import re
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3 import SAC, TD3

import leo_envs
from leo_agents import LEODQN, LEOTD3
from leo_agents.baselines import goal_conditioned_actor_critic
from leo_agents.evaluation import GoalReport
from leo_cli.agent_rollout import AgentRollout
from leo_cli.goal_positions import GoalPositions, find_goal_positions, goal_coordinates, locate_goals
from leo_cli.html.goal_map import goal_map, state_map
from leo_cli.main import main
from leo_cli.value_maps import goal_values, probe_states, state_values

gym.register_envs(leo_envs)

BRIEF = "evaluation: {count: 1, episodes: 1, final_episodes: 1, max_steps: 5}"
SMALL = {"learning_starts": 10, "policy_kwargs": {"net_arch": [8]}, "seed": 0}


class GoalPointsEnv(gym.Env):
    """Environment with goal points and nothing else."""

    def __init__(self, points) -> None:
        self.goal_points = np.asarray(points, dtype=np.float32)


@pytest.fixture(scope="module")
def maze():
    pytest.importorskip("gymnasium_robotics")
    return gym.make("leo/PointMaze_UMaze-v0", max_episode_steps=30)


def report_on(goals) -> GoalReport:
    names = tuple(f"g/{goal}" for goal in goals)
    return GoalReport(names, goals, [1] * len(goals), [0] * len(goals), tuple([] for _ in goals))


def boxes(markup: str) -> dict[str, tuple[float, float, float]]:
    """Parse center and size of each cell, by title."""
    found = re.findall(r'<rect x="([-\d.]+)" y="([-\d.]+)" width="([\d.]+)" [^>]*><title>([^<]*)', markup)
    return {title: (float(x) + float(size) / 2, float(y) + float(size) / 2, float(size)) for x, y, size, title in found}


class TestGoalPositions:
    def test_cells_among_other_goals(self):
        class NamedEnv(gym.Env):
            goal_names = ("cell/0,1", "cell/2,3", "near/ball")
            observation_space, action_space = gym.spaces.Box(0, 1), gym.spaces.Discrete(2)

        report = GoalReport(("near/ball", "cell/2,3", "cell/0,1"), [2, 1, 0], [1] * 3, [0] * 3, ([], [], []))
        cells, positions = locate_goals(report, NamedEnv())
        assert cells.goal_names == ("cell/2,3", "cell/0,1")
        assert positions.positions.tolist() == [[3, 2], [1, 0]] and positions.axes == ("column", "row")
        assert goal_coordinates(NamedEnv()).positions.tolist() == [[1, 0], [3, 2]]
        # The page numbers goals by their positions, so these must come first.
        NamedEnv.goal_names = ("near/ball", "cell/0,1")
        assert goal_coordinates(NamedEnv()) is None

    def test_3d_positions_come_from_the_environment(self):
        points = [[0, 0, 1], [1, 0, 1], [0, 0, 2], [1, 0, 2]]
        positions = find_goal_positions(report_on([1, 2, 3]), GoalPointsEnv(points))
        assert positions is not None and positions.positions.tolist() == [[1, 0], [0, 0], [1, 0]]
        assert [goals.tolist() for _, goals in positions.layers()] == [[0], [1, 2]]
        assert positions.layer_at(1.2) == 0 and positions.layer_at(5.0) == 1

    def test_equal_heights_give_one_layer(self):
        positions = find_goal_positions(report_on([0, 1]), GoalPointsEnv([[0, 0, 0.4], [1, 0, 0.4]]))
        assert positions is not None and [title for title, _ in positions.layers()] == [""]

    def test_points_of_more_dimensions_are_no_positions(self):
        assert find_goal_positions(report_on([0, 1]), GoalPointsEnv(np.eye(2, 15))) is None

    def test_goals_without_a_position_are_left_out(self):
        pytest.importorskip("gymnasium_robotics")
        env = gym.make("leo/FetchPush-v0")
        located = locate_goals(report_on(range(133)), env)
        assert located is not None
        report, positions = located
        assert report.goal_ids.tolist() == list(range(49)) and positions.heights is None
        points = gym.make("leo/FetchPush-v0", helper_goals=False).unwrapped.goal_points
        np.testing.assert_allclose(positions.positions, points[:, :2])
        assert locate_goals(report_on([0, 1]), GoalPointsEnv(np.eye(2, 15))) is None

    def test_scattered_heights_are_grouped(self):
        heights = np.random.default_rng(0).permutation(np.arange(20.0))
        layers = GoalPositions(np.zeros((20, 2)), ("x", "y"), heights).layers()
        assert len(layers) == 6 and sorted(np.concatenate([goals for _, goals in layers]).tolist()) == list(range(20))
        assert all(heights[low].max() < heights[high].min() for (_, low), (_, high) in pairwise(layers))


class TestDrawing:
    square = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])

    @pytest.mark.parametrize(("axes", "first"), [(("x", "y"), "below"), (("column", "row"), "above")])
    def test_cells_are_at_the_goal_positions(self, axes, first):
        found = boxes(goal_map(GoalPositions(self.square, axes), np.linspace(0, 1, 4), list("abcd"), "test"))
        assert set(found) == set("abcd") and all(size == 180 for *_, size in found.values())
        assert found["a"][0] == found["c"][0] == 90 and found["b"][0] == 270
        assert (found["a"][1] > found["c"][1]) == (first == "below")

    def test_dots_cross_and_ring_use_the_coordinates_of_the_cells(self):
        positions = GoalPositions(self.square, ("x", "y"))
        found = boxes(goal_map(positions, np.zeros(4), list("abcd"), "test"))
        dots = state_map(positions, self.square, np.zeros(4), "test", ring=3)
        centers = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', dots)]
        assert centers == [found[name][:2] for name in "abcd"] + [found["d"][:2]]
        crossed = goal_map(positions, np.zeros(4), list("abcd"), "test", cross=np.array([2.0, 0.0]))
        x, y, _ = found["b"]
        assert f"M{x - 11:.1f} {y:.1f}h22.0M{x:.1f} {y - 11:.1f}v22.0" in crossed
        assert "cross" not in goal_map(positions, np.zeros(4), list("abcd"), "test", cross=np.array([9.0, 0.0]))

    def test_layers_with_a_cross_in_the_nearest_one(self):
        positions = GoalPositions(np.tile(self.square, (3, 1)), ("x", "y"), np.repeat([0.0, 1.0, 2.0], 4))
        markup = goal_map(positions, np.linspace(0, 1, 12), list("abcdefghijkl"), "test", cross=np.array([0.0, 0.0, 0.9]))
        assert len(boxes(markup)) == 12 and [f"z {z}" in markup for z in range(3)] == [True] * 3
        _, first, second, third = markup.split("<svg")
        assert "cross" in second and "cross" not in first + third
        assert boxes(first)["a"][:2] == boxes(third)["i"][:2]

    def test_goals_off_any_lattice_are_dots(self):
        positions = GoalPositions(np.random.default_rng(0).random((9, 2)), ("x", "y"))
        markup = goal_map(positions, np.full(9, np.nan), [""] * 9, "test")
        assert markup.count("<circle") == 9 and markup.count('class="none"') == 9 and "<rect" not in markup


class TestValues:
    def test_agent_with_values_of_all_goals(self, maze):
        agent = LEOTD3("MultiInputPolicy", maze, **SMALL)
        observation, _ = maze.reset(seed=0)
        values = goal_values(agent, observation)
        assert values is not None and values.tolist() == agent.values(observation)[0].tolist()
        batch = {key: np.stack([value] * 2) for key, value in observation.items()}
        of_one_goal = state_values(agent, batch, 3)
        assert of_one_goal is not None and np.allclose(of_one_goal, values[3], rtol=1e-5, atol=0)

    def test_agent_with_values_of_the_commanded_goal(self, maze):
        """The values equal those of its networks with each goal commanded separately."""
        agent = goal_conditioned_actor_critic(TD3, maze, **SMALL)
        observation, _ = maze.reset(seed=0)
        values, expected = goal_values(agent, observation), []
        for goal, point in enumerate(maze.get_wrapper_attr("goal_points")):
            tensors, _ = agent.policy.obs_to_tensor({**observation, "desired_goal": point, "goal_id": np.array(goal)})
            with th.no_grad():
                expected.append(min(float(q) for q in agent.critic(tensors, agent.actor(tensors))))
        assert values is not None and np.allclose(values, expected, rtol=1e-4, atol=0) and len(set(expected)) > 1
        assert goal_values(goal_conditioned_actor_critic(SAC, maze, **SMALL), observation) is None

    def test_probe_states_of_a_maze_are_visited_states(self, maze):
        agent = LEOTD3("MultiInputPolicy", maze, **SMALL)
        states = probe_states(agent, maze)
        assert states is not None and states.positions is not None and 7 < len(states.positions) <= 900
        assert np.array_equal(states.positions, states.observations["achieved_goal"].astype(float))
        assert (np.abs(states.positions) <= 1.5).all() and len(np.unique(states.positions, axis=0)) > 7
        values = state_values(agent, states.observations, 0)
        assert values is not None and values.shape == (len(states.positions),)

    def test_probe_states_of_a_grid_world_are_all_cells(self):
        env = gym.make("leo/GridWorld-v0", map="maze", size=5)
        agent = LEODQN("MultiGoalPolicy", env, **SMALL)
        states = probe_states(agent, env)
        assert states is not None and states.positions is None
        values = state_values(agent, states.observations, 2)
        assert values is not None and np.array_equal(values, agent.q_values(states.observations)[:, 2].max(axis=1))

    def test_report_of_a_maze(self, tmp_path, monkeypatch):
        pytest.importorskip("gymnasium_robotics")
        (tmp_path / "brief.yml").write_text(BRIEF)
        folder, quick = tmp_path / "run", ["--steps", "60", "--config", str(tmp_path / "brief.yml")]
        small = ["--set", "learning_starts=30", "policy_kwargs.net_arch=[8]"]
        assert main(["train", "leotd3", "PointMaze_UMaze", *quick, *small, "--folder", str(folder)]) == 0
        assert main(["report", str(folder), "--videos", "0"]) == 0
        page = (folder / "report.html").read_text()
        assert "every goal, from the start" in page and 'class="cross"' in page
        assert "from states that the agent visited" in page and 'class="ring"' in page


class TestRendering:
    def test_mujoco_gl_is_set_without_a_display(self, monkeypatch, capsys):
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setattr("leo_cli.main.find_library", lambda name: "libEGL.so.1")
        assert main(["eval", "nowhere"]) == 2 and "MUJOCO_GL" not in os.environ
        assert main(["report", "nowhere"]) == 2 and os.environ.pop("MUJOCO_GL") == "egl"

    def test_rendering_error_names_the_remedy_and_the_report_omits_videos(self, run, tmp_path, monkeypatch, leo):
        error = type("FatalError", (Exception,), {"__module__": "mujoco"})

        def render(self):
            raise error("no platform library")

        monkeypatch.setattr("leo_envs.gridworld.GridWorldEnv.render", render)
        code, _, errors = leo("video", run, "--goal", "0", "--out", tmp_path / "a.gif")
        assert code == 2 and "no platform library" in errors and "MUJOCO_GL" in errors
        code, output, _ = leo("report", run, "--out", tmp_path / "report.html")
        assert code == 0 and "No videos: expected to render leo/GridWorld-v0" in output
        assert 'id="videos"' not in (tmp_path / "report.html").read_text()

    def test_other_rendering_errors_are_not_wrapped(self, monkeypatch):
        env = gym.make("leo/GridWorld-v0", render_mode="rgb_array")
        monkeypatch.setattr("leo_envs.gridworld.GridWorldEnv.render", lambda self: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            list(AgentRollout(None, env).run(0, 1))
