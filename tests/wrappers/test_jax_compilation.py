"""Setup of JAX: compilation cache, message during long compilations, warning about a shared GPU."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from leo_wrappers.jax_envs import compilation

RUN = """
import sys
from leo_wrappers.jax_envs import JaxEnv
from tests.wanderer_env import Wanderer
import jax
if len(sys.argv) > 1:
    jax.config.update("jax_compilation_cache_dir", sys.argv[1])
JaxEnv(Wanderer()).reset(seed=0)
print(jax.config.jax_compilation_cache_dir)
"""


def run_with(folder: Path, *arguments: str, **environment: str) -> str:
    """Return the cache folder of a new process."""
    variables = {**os.environ, "XDG_CACHE_HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    variables.pop("JAX_COMPILATION_CACHE_DIR", None)
    variables.pop(compilation.CACHE_ENV_VAR, None)
    result = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], env=variables | environment, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


class TestCache:
    def test_compiled_functions_are_cached_by_default(self, tmp_path: Path) -> None:
        assert run_with(tmp_path) == str(tmp_path / "leo" / "jax")
        assert list((tmp_path / "leo" / "jax").iterdir())

    def test_the_cache_can_be_disabled(self, tmp_path: Path) -> None:
        assert run_with(tmp_path, **{compilation.CACHE_ENV_VAR: "off"}) == "None"
        assert not list(tmp_path.iterdir())

    def test_a_folder_configured_by_the_user_is_kept(self, tmp_path: Path) -> None:
        assert run_with(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine")) == str(tmp_path / "mine")
        assert run_with(tmp_path, str(tmp_path / "by-config")) == str(tmp_path / "by-config")

    @pytest.mark.parametrize(("value", "folder"), [("off", None), ("0", None), ("", None), ("/some", Path("/some"))])
    def test_environment_variable(self, monkeypatch: pytest.MonkeyPatch, value: str, folder: Path | None) -> None:
        monkeypatch.setenv(compilation.CACHE_ENV_VAR, value)
        assert compilation.cache_folder() == folder


class TestMessage:
    def test_only_long_compilations_print_a_message(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with compilation.compiling("quick things"):
            pass
        timers = []
        monkeypatch.setattr(
            compilation.threading,
            "Timer",
            lambda seconds, function: timers.append(function) or SimpleNamespace(start=lambda: None, cancel=lambda: None),
        )
        with compilation.compiling("slow things"):
            timers[0]()
        error = capsys.readouterr().err
        assert "quick" not in error and "Compiling slow things" in error


class TestSharedGpu:
    @pytest.fixture(autouse=True)
    def fake_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("XLA_PYTHON_CLIENT_PREALLOCATE", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True)))
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
        monkeypatch.setattr(compilation, "prepare_jax", compilation.prepare_jax.__wrapped__)

    def test_preallocation_warns(self) -> None:
        with pytest.warns(UserWarning, match='os.environ\\["XLA_PYTHON_CLIENT_PREALLOCATE"\\] = "false"'):
            compilation.prepare_jax()

    @pytest.mark.parametrize(
        ("name", "value"), [("XLA_PYTHON_CLIENT_PREALLOCATE", "false"), ("XLA_PYTHON_CLIENT_MEM_FRACTION", ".2")]
    )
    def test_no_warning_if_the_user_configured_memory(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compilation.prepare_jax()
