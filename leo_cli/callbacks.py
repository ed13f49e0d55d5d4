"""Callbacks of ``leo train``: progress output, and stopping on request."""

import time
from pathlib import Path

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import unwrap_vec_wrapper

from leo_agents.evaluation import GoalEvalCallback, GoalReport
from leo_agents.learning.checkpoints import save_checkpoint
from leo_cli.interrupts import Interrupted, StopSignal
from leo_cli.progress import Display, TrainingStatus
from leo_wrappers.sb3 import VecGoalSampler

_REFRESH_SECONDS = 0.2


class ProgressCallback(BaseCallback):
    """
    Display the steps, steps per second, number of goals seen, and the success rate of the last evaluation.

    :param display: where to show them
    :param title: name of the training
    :param total_timesteps: environment steps of the whole training
    :param evaluation: callback that evaluates the agent
    """

    def __init__(self, display: Display, title: str, total_timesteps: int, evaluation: GoalEvalCallback) -> None:
        super().__init__()
        self.display, self.title, self.total_timesteps, self.evaluation = display, title, total_timesteps, evaluation
        self._updated_at = 0.0
        self._start: tuple[float, int] | None = None
        self._last_report: GoalReport | None = None

    def _on_training_start(self) -> None:
        self._start = time.monotonic(), self.num_timesteps
        self._update()

    def _on_step(self) -> bool:
        report = self.evaluation.last_report
        evaluated = report is not self._last_report
        self._last_report = report
        if evaluated or time.monotonic() - self._updated_at >= _REFRESH_SECONDS:
            self._update(evaluated)
        return True

    def close(self) -> None:
        """Show the last status, also when training was interrupted."""
        self._update()
        self.display.finish(self.title)

    def _update(self, evaluated: bool = False) -> None:
        if self._start is None:
            return
        self._updated_at = time.monotonic()
        seconds, timesteps = self._updated_at - self._start[0], self.num_timesteps - self._start[1]
        parts = [f"{timesteps / max(seconds, 1e-6):,.0f} steps/s"]
        sampler = unwrap_vec_wrapper(self.training_env, VecGoalSampler)
        if sampler is not None:
            parts.append(f"goals seen {int(sampler.seen.sum())}/{len(sampler.goal_names)}")
        report = self.evaluation.last_report
        if report is not None and not np.isnan(report.mean_success):
            parts.append(f"success {100 * report.mean_success:.0f} %")
        status = TrainingStatus(self.title, self.num_timesteps, self.total_timesteps, ", ".join(parts), evaluated)
        self.display.update(status)


class StopCallback(BaseCallback):
    """
    Save a checkpoint at the end of training; on request, save one and stop between two rollouts.

    Only between rollouts can training be resumed bit for bit. Must be the last callback.

    :param stop: the request
    :param folder: folder of the checkpoints
    :param keep: number of checkpoints to keep
    """

    def __init__(self, stop: StopSignal, folder: Path, keep: int) -> None:
        super().__init__()
        self.stop, self.folder, self.keep = stop, folder, keep

    def _on_rollout_start(self) -> None:
        if self.stop.requested:
            save_checkpoint(self.model, self.folder, self.keep)
            raise Interrupted

    def _on_training_end(self) -> None:
        save_checkpoint(self.model, self.folder, self.keep)

    def _on_step(self) -> bool:
        return True
