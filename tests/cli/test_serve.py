"""``leo serve``: the session and the command."""

import json
import socket
import sys
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leo_cli.agent_rollout import AgentRollout
from leo_cli.environments import Environment
from leo_cli.html.colors import ramp
from leo_cli.run_folder import RunFolder, create_run
from leo_cli.serve.page import remote_page
from leo_cli.serve.player import Player
from leo_cli.serve.session import MAX_FPS, Session
from tests.cli.serving import command, free_direction, make_session

GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=6,
)
COMMANDS = st.sampled_from(["go", "append", "play", "step", "reset", "fps", "act"])
MESSAGES = (
    st.text(max_size=40)
    | st.binary(max_size=40)
    | GARBAGE.map(json.dumps)
    | st.dictionaries(COMMANDS | st.text(max_size=5), GARBAGE, max_size=2).map(json.dumps)
)

WRONG_MESSAGES = (
    *(b"\xff", "", "[]", "{}", '{"go": 0, "step": 1}', '{"open": "/etc/passwd"}', "[" * 2_000),
    *('{"go": 17}', '{"go": -1}', '{"go": true}', '{"go": "cell/99,0"}', '{"go": [0, 0]}', '{"append": null}'),
    *('{"go": "' + "a" * 4_000 + '"}', '{"go": 1' + "0" * 4_000 + "}"),
    *('{"fps": 0}', '{"fps": NaN}', '{"fps": 1e9}', '{"play": 1}', '{"act": 4}', '{"act": true}'),
)


@pytest.fixture
def session(run) -> Session:
    return make_session(run)


class TestSession:
    def test_an_action_reaches_a_goal(self, session):
        action, goal = free_direction(session)
        command(session, "go", goal)
        state = command(session, "act", action)
        (player,) = state["players"]
        assert (player["outcome"], player["steps"], player["achieved"]) == ("reached", 1, [goal])
        assert state["chain"] == [session.config.goals[goal]] and not state["playing"]

    def test_a_chain_goes_on_where_the_last_goal_ended(self, session):
        action, goal = free_direction(session)
        command(session, "go", goal)
        command(session, "append", session.config.goals[0])
        command(session, "act", action)
        command(session, "play", True)
        assert session.tick()
        (player,) = session.state()["players"]
        assert (player["position"], player["steps"], player["achieved"]) == (1, 0, [goal])

    def test_missed_goals_end_a_chain_but_not_the_episode(self, run):
        session = make_session(run, max_steps=2)
        while session.tick():
            pass
        (player,) = session.state()["players"]
        assert player["outcome"] in ("missed", "reached") and player["steps"] <= 2
        assert not session.tick()

    def test_episodes_have_no_time_limit(self, run):
        folder = RunFolder(run)
        folder.config = replace(folder.config, env_kwargs={"map": "maze", "size": 5})  # without time_limit
        player = Player(folder, folder.seeds[0], "agent", max_steps=300)
        assert player.env.spec.id == "leo/GridWorld-v0"
        for _ in range(201):  # the registered limit is 200
            player.take(0)
            assert not player.now.done
        assert player.now.number == 201

    def test_reset_starts_the_goal_again(self, session):
        start = session.state()["players"][0]["achieved"]
        action, _ = free_direction(session)
        command(session, "act", action)
        (player,) = command(session, "reset")["players"]
        assert (player["achieved"], player["steps"]) == (start, 0)

    def test_pause_and_step(self, session):
        command(session, "play", False)
        assert not session.tick() and session.state()["players"][0]["steps"] == 0
        assert command(session, "step")["players"][0]["steps"] == 1

    def test_distances_are_those_of_the_agent(self, session):
        player = session.players[0]
        steps = player.agent.expected_steps(player.now.observation)[0]
        assert session.state()["players"][0]["distances"] == pytest.approx(steps.round(1).tolist())

    def test_agents_side_by_side(self, run, baseline):
        session = make_session(run, baseline)
        description, state = session.description(), command(session, "go", 3)
        assert description["labels"] == ["leodqn", "dqn+her"] and len(state["players"]) == 2
        assert session.tick() and [player["steps"] for player in session.state()["players"]] == [1, 1]

    def test_description_has_the_cells_of_the_map(self, session):
        description = session.description()
        cells = [name.removeprefix("cell/").split(",") for name in description["goals"]]
        assert description["map"]["points"] == [[float(column), float(row)] for row, column in cells]
        assert description["map"]["cell"] == [1.0, 1.0] and description["map"]["down"]
        assert [key for key, _, _ in description["actions"]] == list("wdsa")

    @pytest.mark.parametrize("message", WRONG_MESSAGES)
    def test_garbage_changes_nothing(self, session, message):
        before = session.state()
        with pytest.raises(ValueError, match=r"expected .*, got .*; ") as error:
            session.handle(message)
        assert session.state() == before and len(str(error.value)) < 500

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(messages=st.lists(MESSAGES, max_size=5))
    def test_any_messages_leave_a_valid_session(self, session, messages):
        for message in messages:
            try:
                session.handle(message)
            except ValueError:
                continue
        state = json.loads(json.dumps(session.state(), allow_nan=False))
        assert set(state["chain"]) <= set(session.config.goals) and 0 < state["fps"] <= MAX_FPS
        assert 0 <= state["players"][0]["position"] < len(state["chain"]) <= 100


class TestWithoutFrames:
    def test_environment_without_images(self, run, monkeypatch):
        monkeypatch.setattr(Environment, "make", _without_images(Environment.make))
        session = make_session(run)
        assert "has no render mode rgb_array" in session.description()["notes"][0]
        assert session.tick() and session.state()["players"][0]["frame"] is None

    def test_machine_that_cannot_render(self, run, monkeypatch):
        frame = AgentRollout._frame

        def fail(rollout):
            if rollout.env.render_mode is not None:
                raise OSError("expected to render, got no display; set MUJOCO_GL")
            return frame(rollout)

        monkeypatch.setattr(AgentRollout, "_frame", fail)
        session = make_session(run)
        assert "set MUJOCO_GL" in session.description()["notes"][0] and session.state()["players"][0]["frame"] is None


def _without_images(make):
    def patched(environment, render_mode=None):
        env = make(environment, render_mode)
        env.metadata = {**env.metadata, "render_modes": ["ansi"]}
        return env

    return patched


def test_page_is_self_contained():
    page = remote_page("<b>")
    assert "&lt;b&gt;" in page.html and "{{" not in page.html and ramp(0.0) in page.html
    for outside in ("http://", "https://", "@import", "url(", 'src="'):
        assert outside not in page.html, outside


class TestCommand:
    def test_a_port_in_use(self, run, leo):
        pytest.importorskip("websockets")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            code, _, message = leo("serve", run, "--port", port)
        assert code == 2 and f"127.0.0.1:{port}" in message and "choose another --port" in message

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [(["--port", "70000"], "choose another --port"), (["--host", "no.such.name.invalid"], "expected to listen on"),
         (["--fps", "0"], "above 0"), (["--seed", "9"], "choose from: [0, 1]")],
    )  # fmt: skip
    def test_wrong_options(self, run, leo, arguments, expected):
        pytest.importorskip("websockets")
        code, _, message = leo("serve", run, *arguments)
        assert code == 2 and expected in message

    def test_missing_extra(self, run, leo, monkeypatch):
        monkeypatch.delitem(sys.modules, "leo_cli.serve.server", raising=False)
        for name in [name for name in sys.modules if name.partition(".")[0] == "websockets"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "websockets", None)
        code, _, message = leo("serve", run)
        assert code == 2 and 'pip install "leo-rl[serve]"' in message

    def test_runs_with_other_goals(self, run, leo, tmp_path):
        pytest.importorskip("websockets")
        config = RunFolder(run).config
        other = create_run(tmp_path / "other", replace(config, eval_goal_ids=config.eval_goal_ids[1:]))
        code, _, message = leo("serve", run, other.path)
        assert code == 2 and "expected runs with the same goals" in message
