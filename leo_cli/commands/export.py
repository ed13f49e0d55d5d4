"""``leo export``."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from leo_cli.commands.options import Run, Seed, Trust

PAGE_FILE = "index.html"


@dataclass(frozen=True)
class Export:
    """
    Write a page in which the agent of a run acts in the browser, without a server and without Python.

    For LEODQN and LEOPQN in grid worlds, with small networks. The page is that of `leo serve`.

    Examples: `leo export runs/leodqn-GridWorld-v0 --web site`.
    """

    run_folder: Run
    """The run's folder."""
    web: Annotated[str, tyro.conf.arg(metavar="FOLDER")]
    """The folder to write index.html to."""
    seed: Seed = None
    """Seed of the run to export."""
    trust: Trust = False

    def run(self) -> int:
        """Write the page; return the exit code."""
        from pathlib import Path

        from leo_cli.outputs import check_output, make_output_folder
        from leo_cli.run_folder import RunFolder, pick_seed
        from leo_cli.serve.page import local_page
        from leo_cli.serve.web_export import export_agent

        run = RunFolder(self.run_folder, self.trust)
        model = export_agent(run, pick_seed(run, self.seed))
        path = check_output(make_output_folder(Path(self.web), "--web") / PAGE_FILE)
        path.write_text(local_page(model["description"]["title"], model).html, encoding="utf-8")
        print(f"Wrote {path} ({path.stat().st_size / 1e3:.0f} kB); open it in a browser")
        return 0
