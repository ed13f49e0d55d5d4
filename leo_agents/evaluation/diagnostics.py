"""Callback that shows, goal by goal, whether learning is stable."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from leo_agents.evaluation.callbacks import restored_random_states
from leo_agents.evaluation.goal_report import FloatArray, decile_mean
from leo_agents.learning.losses import goals_loss
from leo_agents.learning.probe import Probe
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.validation import check_integer

# Values of a goal that differ by less between states do not say where to go.
_CONSTANT = 1e-3


@dataclass(frozen=True, eq=False)
class GoalDiagnostics:
    """
    State of learning at one moment, computed from a batch of transitions.

    :param values: largest ``|Q_g(s, a)|`` of each goal, ``[G]``
    :param td_errors: mean distance of Q_g(s, a) to its target, ``[G]``
    :param spreads: standard deviation of Q_g(s, a) over the batch, ``[G]``
    :param gradient_norm: norm of the gradient of the loss, before it is clipped
    :param seen: which goals were achieved in the training, ``[G]``; None if the environment keeps no statistics of goals
    """

    values: FloatArray
    td_errors: FloatArray
    spreads: FloatArray
    gradient_norm: float
    seen: BoolArray | None

    @property
    def dead_heads(self) -> BoolArray:
        """Goals whose values are the same in all states, though they were achieved in the training, ``[G]``."""
        constant: BoolArray = self.spreads < _CONSTANT
        return constant if self.seen is None else constant & self.seen

    def summary(self) -> dict[str, float]:
        """Return the values to log, by name."""
        result = {
            "q_value_max": float(self.values.max()),
            "td_error_mean": float(self.td_errors.mean()),
            "td_error_worst": decile_mean(self.td_errors, best=True),
            "gradient_norm": self.gradient_norm,
            "dead_heads": float(self.dead_heads.sum()),
        }
        if self.seen is not None and not self.seen.all():
            result["unseen_value_mean"] = float(self.values[~self.seen].mean())
            result["unseen_value_max"] = float(self.values[~self.seen].max())
        return result


class GoalDiagnosticsCallback(BaseCallback):
    """
    Callback that logs, at regular intervals, what goes wrong first when learning does:

    - ``diagnostics/q_value_max``: largest ``|Q_g(s, a)|``; values are probabilities, so that above 1 they diverge;
    - ``diagnostics/td_error_mean``, ``diagnostics/td_error_worst``: distance of Q_g(s, a) to its target, mean over all goals
      and over the worst tenth of them;
    - ``diagnostics/gradient_norm``: norm of the gradient before it is clipped;
    - ``diagnostics/dead_heads``: number of goals whose values are the same in all states, though they were achieved;
    - ``diagnostics/unseen_value_mean``, ``diagnostics/unseen_value_max``: largest values of goals that were never achieved in
      the training, which nothing but generalization determines.

    They are computed from a batch of the replay buffer, or of the rollout. Training is not changed by it: random states are
    restored. The first of several critics is examined. For LEODQN, LEOPQN, LEOTD3 and LEOSAC with a finite goal set.

    :param log_freq: environment steps between logs; the first one is that of the first updates
    :param batch_size: number of transitions
    :param verbose: 1 to print each summary

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> callback = GoalDiagnosticsCallback(log_freq=100)
        >>> env = gym.make("leo/GridWorld-v0")
        >>> model = LEODQN("MultiGoalPolicy", env, learning_starts=50, seed=0).learn(200, callback)
        >>> callback.last_diagnostics.td_errors.shape
        (180,)
    """

    def __init__(self, log_freq: int = 10_000, batch_size: int = 256, verbose: int = 0) -> None:
        check_integer("log_freq", log_freq, 1)
        check_integer("batch_size", batch_size, 1)
        check_integer("verbose", verbose, 0, 2)
        super().__init__(verbose)
        self.log_freq, self.batch_size = log_freq, batch_size
        self.last_diagnostics: GoalDiagnostics | None = None
        self._logged_at = -1

    def _init_callback(self) -> None:
        model: Any = self.model
        if not hasattr(model, "probe"):
            raise TypeError(
                f"expected LEODQN, LEOPQN, LEOTD3 or LEOSAC, got {type(model).__name__}; leave out GoalDiagnosticsCallback"
            )
        if not model.goal_names:
            raise ValueError(
                "expected a finite goal set, got goals that are points, whose values belong to no head; wrap the environment "
                "with MultiGoalWrapper, or leave out GoalDiagnosticsCallback"
            )

    def _on_training_start(self) -> None:
        # A resumed training logs at the same steps as an uninterrupted one.
        self._logged_at = self.num_timesteps // self.log_freq if self.num_timesteps else -1

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        model: Any = self.model
        interval = self.num_timesteps // self.log_freq
        if model._n_updates == 0 or interval == self._logged_at:
            return
        self._logged_at = interval
        was_training = model.policy.training
        model.policy.set_training_mode(False)
        with restored_random_states():
            self.last_diagnostics = diagnose(model.probe(self.batch_size), model)
        model.policy.set_training_mode(was_training)
        summary = self.last_diagnostics.summary()
        for name, value in summary.items():
            self.logger.record(f"diagnostics/{name}", value)
        if self.verbose:
            print(
                f"Diagnostics at {self.num_timesteps} steps:",
                ", ".join(f"{key} {value:.3g}" for key, value in summary.items()),
            )


def diagnose(probe: Probe, model: Any) -> GoalDiagnostics:
    """
    Compute the diagnostics of a batch.

    :param probe: outputs and targets of the batch
    :param model: the algorithm, for its loss and the goals it has seen
    :return: the diagnostics
    """
    outputs, targets = probe.outputs.float(), probe.targets
    loss = goals_loss(outputs, targets, model.loss, probe.network.squash, model.goal_reduction)
    parameters = [parameter for parameter in probe.network.parameters() if parameter.requires_grad]
    gradients = th.autograd.grad(loss, parameters, allow_unused=True)
    norm = th.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
    values = probe.network.values(outputs.detach())
    return GoalDiagnostics(
        _array(values.abs().amax(dim=0)),
        _array((values - targets).abs().mean(dim=0)),
        _array(values.std(dim=0, correction=0)),
        float(norm),
        None if model.goal_sampler is None else np.array(model.goal_sampler.seen, dtype=bool),
    )


def _array(tensor: th.Tensor) -> FloatArray:
    return tensor.cpu().numpy().astype(np.float64)
