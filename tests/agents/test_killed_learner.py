"""A learner that is killed with SIGKILL: its actors end, and training continues from the checkpoint."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leo_agents import LEODQN, resume
from tests.agents.distributed_learner import progress

ROOT = Path(__file__).parents[2]
TOTAL = 6_400
pytestmark = [
    pytest.mark.expensive,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]


def learner(folder: Path, address: str | None) -> "subprocess.Popen[bytes]":
    """Start the training, in the cluster at an address or in one that it starts."""
    environ = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environ |= {"RAY_USAGE_STATS_ENABLED": "0", **({} if address is None else {"RAY_ADDRESS": address})}
    command = [sys.executable, "-m", "tests.agents.distributed_learner", str(folder), str(TOTAL)]
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def running(actors: Path) -> set[int]:
    """Return the processes of actors that have not ended, as zombies have."""
    found = set()
    for process in (int(path.name) for path in actors.iterdir()):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
        except OSError:
            continue
        if state != "Z":
            found.add(process)
    return found


@pytest.fixture(params=["cluster of its own", "running cluster"])
def address(request, monkeypatch):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    if request.param == "cluster of its own":
        yield None
        return
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield cluster.address
    cluster.shutdown()


def test_a_killed_learner_continues_from_its_checkpoint(tmp_path, address):
    checkpoints, actors = tmp_path / "checkpoints", tmp_path / "actors"
    with learner(tmp_path, address) as process:
        wait_until(lambda: len(list(checkpoints.glob("*"))) >= 2)
        assert len(running(actors)) == 2
        process.kill()
    wait_until(lambda: not running(actors))
    assert not (tmp_path / "progress.json").exists()

    checkpoint = resume(LEODQN, checkpoints, device="cpu")
    expected = progress(checkpoint)
    assert 200 <= expected["num_timesteps"] < TOTAL and expected["n_updates"] == expected["optimizer_step"] > 0
    assert expected["filled"] == expected["num_timesteps"] // 2
    with learner(tmp_path, address) as process:
        assert process.wait() == 0
    start, end = json.loads((tmp_path / "progress.json").read_text())
    assert start == expected
    # As many gradient steps as without the kill: one for 8 environment steps, after the first 200.
    steps = (TOTAL - 192) // 8
    assert end == {"num_timesteps": TOTAL, "filled": TOTAL // 2, "n_updates": steps, "optimizer_step": steps}
    final = resume(LEODQN, tmp_path / "end", device="cpu")
    for name in ("actions", "goal_ids", "packed_masks"):
        old, new = (getattr(model.replay_buffer, name)[: start["filled"]] for model in (checkpoint, final))
        assert np.array_equal(old, new)
    wait_until(lambda: not running(actors))
    assert len(list(actors.iterdir())) == 4
