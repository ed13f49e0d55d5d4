"""``leo serve``: the session, the server, and the page in a browser."""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leo_cli.agent_rollout import AgentRollout
from leo_cli.environments import Environment
from leo_cli.html.colors import ramp
from leo_cli.run_folder import open_runs, run_labels
from leo_cli.serve.page import remote_page
from leo_cli.serve.player import Player
from leo_cli.serve.session import MAX_FPS, Session
from tests.cli import chromium
from tests.cli.chromium import Page

UP, RIGHT, DOWN, LEFT = range(4)
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


def make_session(*folders: Any, fps: float = 30.0, max_steps: int | None = None) -> Session:
    runs = open_runs([str(folder) for folder in folders])
    labels = run_labels(runs)
    players = [Player(run, run.seeds[0], label, max_steps) for run, label in zip(runs, labels, strict=True)]
    return Session(runs[0].config, players, fps)


@pytest.fixture
def session(run) -> Session:
    return make_session(run)


def command(session: Session, name: str, argument: Any = None) -> dict[str, Any]:
    session.handle(json.dumps({name: argument}))
    return session.state()


def free_direction(session: Session) -> tuple[int, int]:
    """Return an action that moves the agent from where it is, and the goal of the cell it leads to."""
    mdp = session.players[0].env.unwrapped.mdp
    (here,) = session.state()["players"][0]["achieved"]
    cells = mdp.next_states(np.full(4, here), np.arange(4)).tolist()
    action = next(action for action, cell in enumerate(cells) if cell != here)
    return action, cells[action]


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
        session = make_session(run, max_steps=100)
        action, _ = free_direction(session)
        for _ in range(40):  # the environment's own limit is 30
            player = command(session, "act", action)["players"][0]
        assert not session.players[0].now.done and player["steps"] == 40

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
        steps = player._agent.expected_steps(player.now.observation)[0]
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


websockets = pytest.importorskip("websockets")


@contextmanager
def serving(session: Session, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve in a thread; yields the address of the page."""
    from leo_cli.serve.server import Server

    server, started, addresses = Server(session, remote_page(session.title), host, port), threading.Event(), []
    loop = asyncio.new_event_loop()

    def announce(address: str) -> None:
        addresses.append(address)
        started.set()

    task = loop.create_task(server.run(announce))
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.gather(task, return_exceptions=True)))
    thread.start()
    try:
        assert started.wait(60)
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(60)
        loop.close()


def connect(address: str, **options: Any) -> Any:
    from websockets.sync.client import connect as open_socket

    query = address.partition("?")[2]
    base = address.partition("?")[0].replace("http", "ws")
    return open_socket(f"{base}session{'?' + query if query else ''}", open_timeout=60, **options)


def receive(client: Any, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    while (message := json.loads(client.recv(timeout=60)))["kind"] != kind:
        pass
    return message


def request(address: str, content: bytes) -> bytes:
    """Send bytes and return the answer."""
    host, _, port = address.removeprefix("http://").partition("/")[0].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        try:
            while part := connection.recv(1 << 16):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)


def get(address: str, path: str, host: str = "localhost", *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *headers]
    return request(address, "\r\n".join([*lines, "", ""]).encode())


UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


class TestServer:
    def test_page_and_nothing_else(self, session):
        with serving(session) as address:
            answer = get(address, "/")
            assert answer.startswith(b"HTTP/1.1 200") and b"Content-Security-Policy: default-src 'none'" in answer
            assert answer.partition(b"\r\n\r\n")[2].decode() == remote_page(session.title).html
            for path in ("/etc/passwd", "/../pyproject.toml", "/page.css", "/%2e%2e/run.yml", "//", "/session/..", "/?/../x"):
                answer = get(address, path)
                assert answer.startswith(b"HTTP/1.1 404") or (path.startswith("/?") and b" 200 " in answer), path

    def test_names_and_pages_of_others_are_rejected(self, session):
        with serving(session) as address:
            own = address.removeprefix("http://").rstrip("/")
            for host in ("evil.example", "127.0.0.1.evil.example", "", "[", "localhost@evil.example:80"):
                assert get(address, "/", host).split()[1] in (b"403", b"400"), host
                assert get(address, "/session", host, *UPGRADE).split()[1] in (b"403", b"400"), host
            assert b" 403 " in get(address, "/session", own, "Origin: http://evil.example", *UPGRADE).splitlines()[0]
            assert b" 403 " in get(address, "/session", own, "Origin: null", *UPGRADE).splitlines()[0]
            assert b" 101 " in get(address, "/session", own, f"Origin: http://{own}", *UPGRADE).splitlines()[0]

    def test_other_addresses_need_the_token(self, session):
        with serving(session, "0.0.0.0") as address:
            port = address.rpartition(":")[2].partition("/")[0]
            local, token = f"http://127.0.0.1:{port}/", address.partition("?token=")[2]
            assert len(token) > 20
            for path in ("/", "/?token=", "/?token=wrong", f"/?other={token}", f"/?token={token[:-1]}", "/session"):
                assert b" 403 " in get(local, path).splitlines()[0], path
            assert b" 200 " in get(local, f"/?token={token}", "any.example").splitlines()[0]
            with connect(f"{local}?token={token}") as client:
                assert receive(client, "hello")["goals"] == session.config.goals

    def test_two_clients_share_the_session(self, session):
        command(session, "play", False)
        with serving(session) as address, connect(address) as one, connect(address) as other:
            one.send(json.dumps({"go": 5}))
            while receive(other, "state")["chain"] != [session.config.goals[5]]:
                pass
            other.send("garbage")
            assert "expected a JSON object" in receive(other, "error")["text"]
            one.send(json.dumps({"append": 6}))
            while len(receive(one, "state")["chain"]) < 2:
                pass

    def test_the_agent_waits_while_nobody_watches(self, session):
        with serving(session) as address:
            with connect(address) as client:
                while receive(client, "state")["players"][0]["steps"] < 2:
                    pass
                client.send(json.dumps({"play": False}))
                while (state := receive(client, "state"))["playing"]:
                    pass
            with connect(address) as client:
                assert receive(client, "state") == state  # nothing is lost with a connection

    def test_hundred_clients(self, session):
        from leo_cli.serve.server import MAX_CLIENTS

        with serving(session) as address, ExitStack() as stack:
            clients = [stack.enter_context(connect(address)) for _ in range(MAX_CLIENTS)]
            assert MAX_CLIENTS == 100 and all(receive(client, "hello") for client in clients)
            clients[0].send(json.dumps({"go": 7}))
            for client in clients:
                while receive(client, "state")["chain"] != [session.config.goals[7]]:
                    pass
            with connect(address) as late, pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                receive(late, "hello")
            assert closed.value.rcvd.code == 1013 and "at most 100 tabs" in closed.value.rcvd.reason
            clients[0].close()
            with connect(address) as late:
                assert receive(late, "state")["chain"] == [session.config.goals[7]]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=200) | st.text(max_size=60).map(lambda text: f"GET /{text} HTTP/1.1\r\n\r\n".encode()))
    def test_bytes_of_any_kind(self, fuzzed, content):
        request(fuzzed, content)
        with connect(fuzzed) as client:
            assert receive(client, "state")["chain"] == ["cell/0,0"]

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(messages=st.lists(st.text(max_size=30) | st.binary(max_size=30), max_size=4))
    def test_messages_of_any_kind(self, fuzzed, messages):
        with connect(fuzzed) as client:
            for message in messages:
                client.send(message)
            for _ in messages:
                assert receive(client, "error")["text"].startswith("expected ")
            client.send(json.dumps({"fps": 5}))
            while receive(client, "state")["fps"] != 5:
                pass

    def test_large_messages_close_the_connection_only(self, fuzzed):
        with connect(fuzzed) as client, pytest.raises(websockets.exceptions.ConnectionClosed):
            client.send("x" * 100_000)
            receive(client, "error")
        with connect(fuzzed) as client:
            assert receive(client, "state")["chain"] == ["cell/0,0"]

    def test_errors_of_the_environment_end_the_server(self, session):
        from leo_cli.serve.server import Server

        def fail():
            raise RuntimeError("broken environment")

        async def watch():
            started = asyncio.Event()
            server = Server(session, remote_page("x"), "127.0.0.1", 0)
            task = asyncio.create_task(server.run(lambda address: started.set()))
            await started.wait()
            from websockets.asyncio.client import connect as open_socket

            async with open_socket(f"ws://127.0.0.1:{server.port}/session"):
                await task

        session.tick = fail
        with pytest.raises(RuntimeError, match="broken environment"):
            asyncio.run(watch())


@pytest.fixture(scope="class")
def fuzzed(run):
    session = make_session(run)
    session.is_playing = False
    session.chain = [session.config.find_goal("cell/0,0")]
    with serving(session) as address:
        yield address


class TestCommand:
    def test_a_port_in_use(self, run, leo):
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
        from leo_cli.run_folder import RunFolder, create_run

        config = RunFolder(run).config
        other = create_run(tmp_path / "other", replace(config, eval_goal_ids=config.eval_goal_ids[1:]))
        code, _, message = leo("serve", run, other.path)
        assert code == 2 and "expected runs with the same goals" in message


@pytest.mark.skipif(chromium.FOUND is None, reason="no chromium")
class TestInBrowser:
    def test_clicks_and_keys(self, session):
        command(session, "play", False)
        with serving(session) as address, Page(address) as page:
            page.wait("document.querySelectorAll('#goals li').length === 17")
            page.click("#goals li:nth-child(4) .go")
            page.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[3]}')")
            page.click("#goals li:nth-child(6) .append")
            page.wait("document.querySelectorAll('#chain li').length === 2")
            page.evaluate("document.activeElement.blur()")
            action, goal = free_direction(session)
            page.press("k")
            page.press("wdsa"[action])
            page.wait(f"document.querySelector('[data-achieved] .name').textContent === '{session.config.goals[goal]}'")
            page.press("Escape")
            page.press("r")
            page.wait("document.querySelector('.outcome').textContent.endsWith('0 steps')")
            page.press(" ")
            page.wait("document.querySelector('#play').textContent === 'Pause'")
            assert session.is_playing and page.problems == []

    @pytest.mark.parametrize("canvas", ["canvas.frame", "canvas.goal-map"])
    def test_a_click_on_a_cell(self, session, canvas):
        command(session, "play", False)
        with serving(session) as address, Page(address) as page:
            page.wait(f"document.querySelector('.outcome')?.textContent && document.querySelector('{canvas}').height > 200")
            page.click(canvas)  # in the middle: cell 2,2 of 5 x 5
            page.wait("document.querySelector('.outcome').textContent.includes('cell/2,2')")
            assert page.problems == []

    def test_search(self, session):
        command(session, "play", False)
        with serving(session) as address, Page(address) as page:
            page.wait("document.querySelectorAll('#goals li').length === 17")
            page.evaluate("document.querySelector('#search').focus()")
            page.write("cell/4,")
            found = [name for name in session.config.goals if name.startswith("cell/4,")]
            page.wait(f"document.querySelectorAll('#goals li').length === {len(found)}")
            page.press("Enter")
            page.wait(f"document.querySelector('.outcome').textContent.includes('{found[0]}')")

    def test_a_lost_connection_comes_back(self, session):
        command(session, "play", False)
        with serving(session) as address:
            port = int(address.rpartition(":")[2].rstrip("/"))
            page = Page(address).__enter__()
            page.wait("document.querySelectorAll('#goals li').length === 17")
            page.click("#goals li:nth-child(4) .go")
            page.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[3]}')")
        try:
            page.wait("document.body.classList.contains('lost')")
            page.press(".")
            page.wait("document.querySelector('#message').textContent.startsWith('Not sent')")
            with serving(session, port=port):
                page.wait("document.querySelector('#status').textContent === 'connected'")
                page.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[3]}')")
        finally:
            page.__exit__()

    def test_two_tabs(self, session):
        command(session, "play", False)
        with serving(session) as address, Page(address) as one, Page(address) as other:
            for page in (one, other):
                page.wait("document.querySelectorAll('#goals li').length === 17")
            one.click("#goals li:nth-child(4) .go")
            other.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[3]}')")
            other.click("#goals li:nth-child(5) .go")
            one.wait(f"document.querySelector('.outcome').textContent.includes('{session.config.goals[4]}')")

    @pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
    def test_side_by_side_without_overflow(self, run, baseline, width, dark):
        session = make_session(run, baseline)
        with serving(session) as address, Page(address, width=width, dark=dark) as page:
            page.wait("document.querySelectorAll('.agent').length === 2")
            assert page.evaluate("document.documentElement.scrollWidth") == width and page.problems == []
            assert {url.split(":")[0] for url in page.requests} <= {"http", "data"}
            assert all(url.startswith((address, "data:")) for url in page.requests)
