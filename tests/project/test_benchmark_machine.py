"""What benchmarks record of the machine."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
X86 = "processor\t: 0\nmodel name\t: A Processor\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd sve bf16\nCPU implementer\t: 0x41\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("machine")


@pytest.mark.parametrize(
    ("text", "features"),
    [
        (X86, ["AVX2", "AVX-512", "AVX-512 bfloat16", "AMX", "AMX bfloat16"]),
        # Of several processors the first is described; `avx512f` is not `avx512fp16`.
        ("flags : avx avx512fp16\n\n" + X86, []),
        (ARM, ["NEON", "SVE", "NEON bfloat16"]),
        ("processor : 0\n", None),
    ],
)
def test_features(
    machine: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, features: list[str]
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    assert machine.describe("numpy")["cpu_features"] == features


def test_model(machine: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(X86)
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "cpuinfo")
    assert machine.describe()["cpu"] == "A Processor"


def test_without_cpuinfo(machine: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "nothing")
    described = machine.describe()
    assert described["cpu_features"] is None
    assert described["cpu"]


def test_limits_by_environment_variables(machine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in machine.LIMITS:
        monkeypatch.delenv(name, raising=False)
    assert machine.describe()["cpu_limits"] == {}
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert machine.describe()["cpu_limits"] == {"ATEN_CPU_CAPABILITY": "avx2"}
