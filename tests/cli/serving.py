"""Sessions of ``leo serve``, a server in a thread, and its clients."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from leo_cli.run_folder import open_runs, run_labels
from leo_cli.serve.page import remote_page
from leo_cli.serve.player import Player
from leo_cli.serve.session import Session


def make_session(*folders: Any, fps: float = 30.0, max_steps: int | None = None) -> Session:
    runs = open_runs([str(folder) for folder in folders])
    labels = run_labels(runs)
    players = [Player(run, run.seeds[0], label, max_steps) for run, label in zip(runs, labels, strict=True)]
    return Session(runs[0].config, players, fps)


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


@contextlib.contextmanager
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


def request(address: str, content: bytes, is_complete: bool = False) -> bytes:
    """Send bytes, and say that no more follow unless the request is complete; return the answer."""
    host, _, port = address.removeprefix("http://").partition("/")[0].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(content)
        if not is_complete:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while not answer.startswith(b"HTTP/1.1 101") and (part := connection.recv(1 << 16)):
                answer += part
        return answer


def get(address: str, path: str, host: str = "localhost", *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *headers]
    return request(address, "\r\n".join([*lines, "", ""]).encode(), is_complete=True)
