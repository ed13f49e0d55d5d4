import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import leo_wrappers

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "jax", "mujoco", "gymnasium_robotics", "pandas", "matplotlib", "stable_baselines3", "pygame", "hypothesis"}


def run(*command: str, cwd: Path = ROOT) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import leo_wrappers, leo_envs, leo_envs.robotics, leo_envs.panda",
        "import leo_wrappers.testing.plugin",
        "import leo_cli.main, leo_cli.commands.table",
    ],
)
def test_lower_packages_import_nothing_heavy(statement):
    heavy = run(sys.executable, "-c", f"{statement}; import sys; print(sorted(set(sys.modules) & {HEAVY}))")
    assert heavy.strip() == "[]"


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("wrappers/leo_wrappers", ("leo_envs", "leo_agents", "leo_cli")),
        ("leo_envs", ("leo_agents", "leo_cli")),
        ("leo_agents", ("leo_envs", "leo_cli")),
    ],
)
def test_imports_only_point_down(package, forbidden):
    for path in (ROOT / package).rglob("*.py"):
        code = [line.strip() for line in path.read_text().splitlines() if ">>>" not in line]
        upward = [line for line in code for name in forbidden if line.startswith((f"import {name}", f"from {name}"))]
        assert not upward, f"{path.relative_to(ROOT)}: {upward}"


def test_version_is_in_the_changelog():
    assert f"## {leo_wrappers.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_extra_all_contains_the_other_extras():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    separate = {"all", "atari", "dev", "minari", "mo", "ray", "wandb", "mlflow", "trackio"}
    assert set(extras["all"][0].removeprefix("leo-rl[").removesuffix("]").split(",")) == set(extras) - separate - {
        "all",
        "dev",
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.expensive
def test_wheel_contains_exactly_the_tracked_files(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = run("git", "ls-files", "leo_envs", "leo_agents", "leo_cli", "wrappers/leo_wrappers").split()
    assert inside == {path.removeprefix("wrappers/") for path in tracked}


@pytest.mark.expensive
def test_wheel_contains_data_files(wheel):
    archive = zipfile.ZipFile(wheel)
    inside = set(archive.namelist())
    settings = {path.relative_to(ROOT).as_posix() for path in (ROOT / "leo_cli" / "hyperparameters").rglob("*.yml")}
    assert len(settings) >= 6 and settings <= inside
    assert {"leo_cli/html/style.css", "leo_cli/html/table.js"} <= inside
    assert {f"{package}/py.typed" for package in ("leo_wrappers", "leo_envs", "leo_agents", "leo_cli")} <= inside
    (scripts,) = (name for name in inside if name.endswith(".dist-info/entry_points.txt"))
    entry_points = archive.read(scripts).decode()
    assert "leo = leo_cli.main:main" in entry_points and "leo = leo_wrappers.testing.plugin" in entry_points
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    assert not [name for name in inside if name.startswith(("tests/", "benchmarks/", "examples/", "docs/"))]


@pytest.mark.expensive
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_installs_into_an_empty_environment(kind, wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    target = [str(wheel)] if kind == "wheel" else ["-e", str(ROOT)]
    run(python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), *target)
    script = (
        "import gymnasium as gym, leo_wrappers, leo_envs; env = gym.make('leo/GridWorld-v0');"
        "env.reset(seed=0); print(leo_wrappers.__version__, env.step(0)[4]['goals_achieved'].sum())"
    )
    assert run(python, "-c", script, cwd=tmp_path).split() == [leo_wrappers.__version__, "1"]
    missing = subprocess.run([python, "-c", "import leo_wrappers.sb3"], cwd=tmp_path, capture_output=True, text=True)
    assert 'pip install "leo-rl[agents]"' in missing.stderr
