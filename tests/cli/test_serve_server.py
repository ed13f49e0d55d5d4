"""The server of ``leo serve``: who is answered, what garbage does, many clients."""

import asyncio
import json
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leo_cli.serve.page import remote_page
from leo_cli.serve.session import Session
from tests.cli.serving import command, connect, get, make_session, receive, request, serving

websockets = pytest.importorskip("websockets")

UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@pytest.fixture
def session(run) -> Session:
    return make_session(run)


@pytest.fixture(scope="class")
def fuzzed(run):
    session = make_session(run)
    session.is_playing = False
    session.chain = [session.config.find_goal("cell/0,0")]
    with serving(session) as address:
        yield address


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
