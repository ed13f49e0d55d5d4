import re

import pytest

from tests.project.test_packaging import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def test_the_code_in_the_readme_runs(tmp_path, monkeypatch):
    """In one go, as a reader would type it, with less training."""
    monkeypatch.chdir(tmp_path)
    code = "\n".join(BLOCKS).replace("learn(20_000)", "learn(200)").replace("num_envs=32", "num_envs=3")
    assert len(BLOCKS) >= 4 and "learn(200)" in code
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("target", ["demo", "test", "check", "format", "test-expensive"])
def test_the_commands_that_are_promised_exist(target):
    promises = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    assert f"make {target}" in promises
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
