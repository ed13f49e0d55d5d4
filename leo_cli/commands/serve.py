"""``leo serve``."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from leo_cli.commands.options import Count, Runs, Seed, Trust


@dataclass(frozen=True)
class Serve:
    """
    Show the agents of one or more runs in a browser, and send them to goals by a click.

    The page shows the environment, the agent's values of all goals at every step, and a list of all goals. The agents of
    several runs with the same goals act side by side.

    Examples: `leo serve runs/leodqn-GridWorld-v0`; `leo serve runs/a runs/b --port 9000`.
    """

    runs: Runs
    """The runs' folders; several are compared."""
    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen on. Any but this machine's own can be reached from outside, with the token that is printed."""
    port: Annotated[int, tyro.conf.arg(metavar="N")] = 8420
    """Port to listen on; 0 for any free one."""
    open: bool = False
    """Open the page in the default browser."""
    seed: Seed = None
    """Seed of each run to show."""
    max_steps: Count = None
    """Maximum number of steps per goal."""
    fps: float = 8.0
    """Steps per second, which the page can change."""
    trust: Trust = False

    def run(self) -> int:
        """Serve until Ctrl-C; return the exit code."""
        import asyncio
        import contextlib
        import webbrowser

        from leo_cli.run_folder import open_runs, pick_seed, run_labels
        from leo_cli.serve.page import remote_page
        from leo_cli.serve.player import Player
        from leo_cli.serve.server import Server
        from leo_cli.serve.session import MAX_FPS, Session

        if not 0.0 < self.fps <= MAX_FPS:
            raise ValueError(f"expected --fps above 0 and at most {MAX_FPS:.0f}, got {self.fps}; 8 is usual")
        runs = open_runs(self.runs, self.trust)
        players = [
            Player(run, pick_seed(run, self.seed), label, self.max_steps)
            for run, label in zip(runs, run_labels(runs), strict=True)
        ]
        for note in dict.fromkeys(player.note for player in players if player.note):
            print(note)
        session = Session(runs[0].config, players, self.fps)
        server = Server(session, remote_page(session.title), self.host, self.port)

        def announce(address: str) -> None:
            print(f"Open {address} in a browser; Ctrl-C stops", flush=True)
            if self.open:
                webbrowser.open(address)

        try:
            with contextlib.suppress(KeyboardInterrupt):  # the usual end
                asyncio.run(server.run(announce))
        finally:
            for player in players:
                player.env.close()
        return 0
