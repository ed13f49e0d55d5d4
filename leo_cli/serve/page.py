"""The page: a single HTML file without references to other files or the network."""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leo_cli.html.colors import ramp
from leo_cli.html.markup import text

_FOLDER = Path(__file__).parent / "page"
_NUM_COLORS = 64


@dataclass(frozen=True)
class Page:
    """
    A page.

    :param html: its content
    :param content_security_policy: header that allows the scripts and styles of the page, and no others
    """

    html: str
    content_security_policy: str


def remote_page(title: str) -> Page:
    """
    Build the page of ``leo serve``, which connects to its server.

    :param title: title of the page
    """
    return _page(title, ["remote.js"], "(handler) => new RemoteSession(handler)")


def local_page(title: str, model: dict[str, Any]) -> Page:
    """
    Build the page of ``leo export``, in which agent and environment run in the browser.

    :param title: title of the page
    :param model: agent and environment
    """
    content = json.dumps(model, separators=(",", ":")).replace("<", "\\u003c")
    return _page(title, ["network.js", "grid_world.js"], f"(handler) => new LocalSession({content}, handler)")


def _page(title: str, scripts: list[str], make_session: str) -> Page:
    style = _read(_FOLDER.parent.parent / "html" / "style.css") + _read(_FOLDER / "page.css")
    colors = json.dumps([ramp(level) for level in np.linspace(0.0, 1.0, _NUM_COLORS).tolist()])
    parts = [
        f'"use strict";\nconst COLORS = {colors};\n',
        *(_read(_FOLDER / name) for name in [*scripts, "maps.js", "view.js"]),
    ]
    script = "".join(parts) + f"new View({make_session});\n"
    html = _read(_FOLDER / "page.html").replace("{{title}}", text(title)).replace("{{style}}", style)
    html = html.replace("{{script}}", script)
    sources = {"script-src": _hash(script), "style-src": _hash(style), "img-src": "data:", "connect-src": "'self'"}
    policy = "; ".join(f"{kind} {source}" for kind, source in sources.items())
    return Page(html, f"default-src 'none'; {policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
