"""Log training to ``progress.csv`` and TensorBoard, continuing both when a training is resumed."""

import csv
from collections.abc import Sequence
from pathlib import Path

from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, Logger, TensorBoardOutputFormat


class ResumableCSVOutputFormat(CSVOutputFormat):
    """
    Stable-Baselines3's CSV output that keeps the rows of the training it resumes.

    :param path: the file
    :param timesteps: environment steps at which training resumes; later rows are dropped
    """

    def __init__(self, path: Path, timesteps: int) -> None:
        rows = _rows_until(path, timesteps) if timesteps > 0 and path.exists() else []
        super().__init__(str(path))
        if rows:
            self.keys = rows[0]
            csv.writer(self.file, lineterminator="\n").writerows(rows)
            self.file.flush()


def make_logger(folder: Path, progress: Path, timesteps: int, trackers: Sequence[KVWriter] = ()) -> Logger:
    """
    Create the logger of a training.

    :param folder: folder for TensorBoard's events
    :param progress: the CSV file
    :param timesteps: environment steps at which training starts or resumes
    :param trackers: further outputs
    :return: the logger
    """
    writers: list[KVWriter] = [ResumableCSVOutputFormat(progress, timesteps)]
    try:
        writers.append(TensorBoardOutputFormat(str(folder)))
    except (AssertionError, ImportError):  # not installed; the CSV file has the same values
        pass
    return Logger(str(folder), [*writers, *trackers])


def _rows_until(path: Path, timesteps: int) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if "time/total_timesteps" not in header:
        return []
    column = header.index("time/total_timesteps")
    # The last row may be incomplete if the process was killed.
    complete = [row for row in rows if len(row) == len(header) and row[column]]
    return [header, *(row for row in complete if float(row[column]) <= timesteps)]
