"""
Run the ``leo`` command as a job: ``python -m leo_cli.sweeps.job_process SECONDS ARGUMENTS...``.

Its worker holds the other end of standard input. When the worker dies, the job stops with a checkpoint, within the given
number of seconds, so that it no longer writes when another worker takes it over.
"""

import os
import signal
import sys
import threading
import time

from leo_cli.main import main


def stop_with_parent(seconds: float) -> None:
    """
    Wait until the parent process closes standard input, then stop this process.

    :param seconds: time to save a checkpoint
    """
    os.read(0, 1)  # not sys.stdin.read(), whose lock would have to be released before the interpreter can exit
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    os._exit(1)


if __name__ == "__main__":
    if hasattr(signal, "SIGUSR2"):  # meant for the worker: Slurm sends it before the time limit, perhaps to all processes
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    threading.Thread(target=stop_with_parent, args=(float(sys.argv[1]),), daemon=True).start()
    sys.argv = ["leo", *sys.argv[2:]]  # recorded in the run's commands.txt
    sys.exit(main())
