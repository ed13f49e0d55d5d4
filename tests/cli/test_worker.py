"""Workers whose jobs are short scripts."""

import os
import threading

import pytest

from leo_cli.sweeps import worker as worker_module
from leo_cli.sweeps.folder import SweepFolder, create_sweep
from leo_cli.sweeps.job_queue import FAILED, FINISHED, RUNNING, WAITING
from leo_cli.sweeps.worker import Worker
from tests.cli.sweeps import Display, Stop, fail_with_full_disk, work, write


@pytest.fixture
def sweep(tmp_path) -> SweepFolder:
    create_sweep(tmp_path / "sweep", write(tmp_path / "spec.yml", evaluate={}, heartbeat_timeout=2))
    return SweepFolder(tmp_path / "sweep")


FINISH = """
folder = arguments[2] if arguments[0] == "train" else None
if folder is not None:
    for seed in (0, 1):
        shutil.copytree(os.path.join(run, "seed-0"), os.path.join(folder, f"seed-{seed}"), dirs_exist_ok=True)
print(*arguments)
"""


def test_every_job_runs_once_and_evaluations_after_their_training(sweep, script):
    script(FINISH)
    display, count = work(sweep, slots=3)
    assert count == {FINISHED: 8} and sweep.queue.states().keys() == {line.split(":")[0] for line in display.lines}
    started = [line.split(":")[0] for line in display.lines if line.endswith("started")]
    assert len(started) == len(set(started)) == 8
    order = {line: number for number, line in enumerate(display.lines)}
    for job in started:
        if job.startswith("eval-"):
            training = job.removeprefix("eval-").rpartition("-")[0]
            assert order[f"{training}: success 12 %"] < order[f"{job}: started"]
            log = (sweep.job_path(job) / "job.log").read_text()
            assert log.startswith(f"eval {sweep.job_path(training)} --csv {sweep.job_path(job)}")
    assert work(sweep)[0].lines == []


def test_a_job_that_fails_three_times_is_kept_with_its_logs(sweep, script, leo):
    script("if 'dqn+her' in ' '.join(arguments): sys.exit('no luck')\n" + FINISH)
    display, count = work(sweep, slots=2)
    assert count == {FINISHED: 4, FAILED: 4}
    failed = [job for job, state in sweep.queue.states().items() if state == FAILED]
    for job in failed:
        logs = sorted(path.name for path in sweep.job_path(job).glob("*.log"))
        if job.startswith("eval-"):
            assert logs == ["job.log"] and "which failed" in (sweep.job_path(job) / "job.log").read_text()
        else:
            assert logs == ["failure-1.log", "failure-2.log", "failure-3.log"]
            assert "no luck" in (sweep.job_path(job) / "failure-3.log").read_text()
        assert f"{job}: given up; its logs are in {sweep.job_path(job)}" in display.lines
    code, out, error = leo("work", sweep.path)
    assert code == 1 and "4 of 8 jobs finished, 4 failed" in out
    code, out, _ = leo("report", sweep.path)
    page = (sweep.path / "report.html").read_text()
    assert code == 0 and "no luck" in page and all(job in page for job in failed)
    script(FINISH)
    code, out, error = leo("work", sweep.path, "--retry-failed", "--workers", "2")
    assert code == 0 and "8 of 8 jobs finished" in out, error


def test_a_request_to_stop_gives_the_jobs_back(sweep, script):
    script("import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\nprint('x', flush=True)\ntime.sleep(60)")
    stop, display = Stop(), Display()
    worker = Worker(sweep, display, stop, slots=2)

    def stop_when_running() -> None:
        while sum(path.read_text() == "x\n" for path in sweep.path.glob("jobs/*/job.log")) < 2:
            threading.Event().wait(0.05)
        stop.requested = True

    threading.Thread(target=stop_when_running).start()
    assert worker.run() == {WAITING: 8} and not list(sweep.path.glob("jobs/*/failure-*"))


def test_a_job_that_another_worker_took_over_is_killed_here(sweep, script, tmp_path):
    script("open(os.path.join(os.path.dirname(__file__), f'pid-{os.getpid()}'), 'w')\ntime.sleep(60)")
    stop, display = Stop(), Display()
    worker = Worker(sweep, display, stop)

    def take_over() -> None:
        while not (entries := list((sweep.queue.folder / RUNNING).iterdir())):
            threading.Event().wait(0.05)
        entries[0].rename(entries[0].with_name(f"{entries[0].name}-other"))
        while not any("taken over" in line for line in display.lines):
            threading.Event().wait(0.05)
        stop.requested = True

    threading.Thread(target=take_over).start()
    worker.run()
    processes = list(tmp_path.glob("pid-*"))
    assert processes
    for path in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name.removeprefix("pid-")), 0)
    (first, *_) = [line.split(":")[0] for line in display.lines]
    assert sweep.queue.states()[first] == RUNNING


def test_a_full_disk_stops_the_worker_and_gives_the_job_back(sweep, script, monkeypatch):
    script("sys.exit('disk full')")
    monkeypatch.setattr("leo_cli.disk_space.os.fsync", fail_with_full_disk)
    with pytest.raises(OSError, match="No space left"):
        work(sweep)
    assert set(sweep.queue.states().values()) == {WAITING}


def test_processor_cores_are_divided_among_the_jobs(sweep, script, monkeypatch):
    monkeypatch.setattr(worker_module, "available_cores", lambda: 5)
    assert Worker(sweep, Display(), Stop(), slots=2).threads == 2
    assert Worker(sweep, Display(), Stop(), slots=9).threads == 1
    script(FINISH + "print(os.environ['OMP_NUM_THREADS'])")
    work(sweep, threads=3)
    assert all(path.read_text().endswith("\n3\n") for path in sweep.path.glob("jobs/*/job.log"))
