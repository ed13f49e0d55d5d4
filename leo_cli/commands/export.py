"""``leo export``."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from leo_cli.commands.options import Run, Seed, Trust

PAGE_FILE = "index.html"


@dataclass(frozen=True)
class Export:
    """
    Write the agent of a run for others: as a page in which it acts in the browser, or as a folder with its model card.

    The page needs neither a server nor Python; it is that of `leo serve`, for LEODQN and LEOPQN in grid worlds with small
    networks. The folder has the layout of a repository of the Hugging Face Hub and is a run without replay buffers.

    Examples: `leo export runs/leodqn-GridWorld-v0 --web site`; `leo export runs/leodqn-GridWorld-v0 --hub agents/gridworld`.
    """

    run_folder: Run
    """The run's folder."""
    web: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The folder to write index.html to."""
    hub: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """A new folder for settings, model, success rates and model card."""
    repo: Annotated[str, tyro.conf.arg(metavar="USER/NAME")] = "user/name"
    """The repository that the model card names."""
    seed: Seed = None
    """Seed of the run to export."""
    trust: Trust = False

    def run(self) -> int:
        """Write page and folder; return the exit code."""
        if self.web is None and self.hub is None:
            raise ValueError("expected --web FOLDER or --hub FOLDER, got neither; pass one of them")
        if self.web is not None:
            self._write_page(self.web)
        if self.hub is not None:
            self._write_repository(self.hub)
        return 0

    def _write_page(self, folder: str) -> None:
        from pathlib import Path

        from leo_cli.outputs import check_output, make_output_folder
        from leo_cli.run_folder import RunFolder, pick_seed
        from leo_cli.serve.page import local_page
        from leo_cli.serve.web_export import export_agent

        run = RunFolder(self.run_folder, self.trust)
        model = export_agent(run, pick_seed(run, self.seed))
        path = check_output(make_output_folder(Path(folder), "--web") / PAGE_FILE)
        path.write_text(local_page(model["description"]["title"], model).html, encoding="utf-8")
        print(f"Wrote {path} ({path.stat().st_size / 1e3:.0f} kB); open it in a browser")

    def _write_repository(self, folder: str) -> None:
        from leo_cli.hub import CARD, export_run

        path = export_run(self.run_folder, folder, self.repo, self.seed)
        print(f"Wrote {path} with {CARD}; try it with: leo play {path}")
