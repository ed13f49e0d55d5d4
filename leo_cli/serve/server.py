"""A web server for one session: the page, and a WebSocket for its commands and states."""

import asyncio
import contextlib
import hmac
import ipaddress
import json
import logging
import secrets
import socket
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from leo_cli.serve.page import Page
from leo_cli.serve.session import Session

try:
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.datastructures import Headers
    from websockets.exceptions import ConnectionClosed
    from websockets.http11 import Request, Response
except ImportError as error:
    raise ImportError('leo serve needs websockets; install it with: pip install "leo-rl[serve]"') from error

MAX_CLIENTS = 100
_MAX_MESSAGE = 4_096
_SESSION_PATH = "/session"
_TRY_AGAIN_LATER = 1013
_LOGGER = logging.getLogger("leo_cli.serve")
# Whatever does not speak HTTP is disconnected, which is not worth a traceback.
_LOGGER.addFilter(lambda record: record.msg != "opening handshake failed")


class Server:
    """
    Server of one page and one session, which all tabs share.

    Everything runs in one thread: OpenGL contexts belong to the thread that created them, and no request waits for longer than
    a step. Requests never name a file: there is one page, in memory.

    :param session: the session
    :param page: the page
    :param host: address to listen on. Any other than a loopback address needs the token that :attr:`token` holds then
    :param port: port to listen on; 0 for any free one
    """

    def __init__(self, session: Session, page: Page, host: str, port: int) -> None:
        self.session, self.page, self.host, self.port = session, page, host, port
        self.token = None if is_loopback(host) else secrets.token_urlsafe(16)
        self._clients: set[asyncio.Event] = set()
        self._description = json.dumps(session.description())
        self._state: str | None = None

    async def run(self, on_start: Callable[[str], object] = print) -> None:
        """
        Serve until cancelled, or until the environment raises an error.

        :param on_start: function that receives the address of the page
        """
        try:
            server = await serve(
                self._converse,
                self.host,
                self.port,
                process_request=self._respond,
                max_size=_MAX_MESSAGE,
                compression=None,  # frames are compressed
                close_timeout=1,
                server_header=None,
                logger=_LOGGER,
            )
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise OSError(
                f"expected to listen on {self.host}:{self.port}, got: {reason}; choose another --port, or 0 for any free one"
            ) from error
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            on_start(self.address)
            clock = asyncio.create_task(self._tick())
            try:
                await self._failure
            finally:
                clock.cancel()

    @property
    def address(self) -> str:
        """Address of the page, with the token if there is one."""
        host = socket.gethostname() if self.host in ("0.0.0.0", "::", "") else self.host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/" + ("" if self.token is None else f"?token={self.token}")

    async def _tick(self) -> None:
        """Advance the session at its speed, while anybody is watching."""
        time = asyncio.get_running_loop().time
        try:
            while True:
                start = time()
                if self._clients and self.session.tick():
                    self._publish()
                await asyncio.sleep(max(1.0 / self.session.fps - (time() - start), 0.001))
        except Exception as error:
            self._fail(error)

    def _publish(self) -> None:
        self._state = None
        for changed in self._clients:
            changed.set()

    async def _converse(self, connection: ServerConnection) -> None:
        """Exchange commands and states with one tab."""
        if len(self._clients) >= MAX_CLIENTS:
            await connection.close(_TRY_AGAIN_LATER, f"expected at most {MAX_CLIENTS} tabs, got one more; close another")
            return
        changed = asyncio.Event()
        changed.set()
        self._clients.add(changed)
        sender = asyncio.create_task(self._send(connection, changed))
        try:
            with contextlib.suppress(ConnectionClosed):
                async for message in connection:
                    await self._handle(connection, message)
        except Exception as error:
            self._fail(error)
        finally:
            self._clients.discard(changed)
            sender.cancel()

    async def _handle(self, connection: ServerConnection, message: str | bytes) -> None:
        try:
            self.session.handle(message)
        except ValueError as error:
            await connection.send(json.dumps({"kind": "error", "text": str(error)}))
        else:
            self._publish()

    async def _send(self, connection: ServerConnection, changed: asyncio.Event) -> None:
        """Send each new state, or only the newest to a tab that is slower than the session."""
        try:
            await connection.send(self._description)
            while True:
                await changed.wait()
                changed.clear()
                if self._state is None:
                    self._state = json.dumps(self.session.state())
                await connection.send(self._state)
        except ConnectionClosed:
            pass
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End :meth:`run` with an error of the environment or the agent, after which nothing can be shown."""
        if not self._failure.done():
            self._failure.set_exception(error)

    def _respond(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request; None opens a WebSocket."""
        path = request.path.partition("?")[0]
        if not self._is_allowed(request):
            reason = "open the address that leo serve has printed" if self.token is None else "add ?token=... to the address"
            return connection.respond(HTTPStatus.FORBIDDEN, f"Not allowed: {reason}.\n")
        if path == _SESSION_PATH:
            return None
        if path != "/":
            return connection.respond(HTTPStatus.NOT_FOUND, "There is only one page: /\n")
        content = self.page.html.encode()
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(content)),
            "Content-Security-Policy": self.page.content_security_policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
        }
        return Response(HTTPStatus.OK, "OK", Headers(headers), content)

    def _is_allowed(self, request: Request) -> bool:
        """
        Check the token. Without one, check that the page was opened under a name of this machine and connects to itself: other
        sites in the same browser can send requests here, too.
        """
        if self.token is not None:
            (given, *_) = parse_qs(urlsplit(request.path).query).get("token", [""])
            return hmac.compare_digest(given.encode(), self.token.encode())
        hosts, origins = request.headers.get_all("Host"), request.headers.get_all("Origin")
        if len(hosts) != 1 or not is_loopback(_host_name(hosts[0])):
            return False
        return not origins or origins == [f"http://{hosts[0]}"]


def is_loopback(host: str) -> bool:
    """
    Return whether an address can be reached from this machine only.

    :param host: name or IP address
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str:
    """Return the name or address in a Host header; empty for a malformed one."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
