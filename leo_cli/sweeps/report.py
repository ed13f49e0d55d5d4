"""Write the report of a sweep."""

from pathlib import Path

from leo_agents.evaluation.report_text import align, percent
from leo_cli.html.sweep_page import sweep_page
from leo_cli.outputs import check_output
from leo_cli.sweeps.folder import SweepFolder
from leo_cli.sweeps.results import GroupResults, read_groups


def report_sweep(path: Path, out: str | None, trust: bool) -> Path:
    """
    Print and write the results of a sweep as far as its jobs have come.

    :param path: the sweep's folder
    :param out: the file to write; ``report.html`` in the folder by default
    :param trust: see :class:`~leo_cli.run_folder.RunFolder`
    :return: the file
    """
    sweep = SweepFolder(path, trust)
    file = check_output(path / "report.html" if out is None else Path(out))
    groups = read_groups(sweep)
    for environment, results in groups.items():
        lines = align(["settings", "seeds", "success", "95 % interval", "so far"], [_row(group) for group in results])
        print("\n".join([environment, *lines]), end="\n\n")
    file.write_text(sweep_page(sweep, groups), encoding="utf-8")
    return file


def _row(group: GroupResults) -> list[str]:
    interval = "" if group.interval is None else " to ".join(f"{100 * bound:.1f}" for bound in group.interval)
    return [group.results.label, f"{group.finished}/{group.total}", percent(group.final), interval, percent(group.latest)]
