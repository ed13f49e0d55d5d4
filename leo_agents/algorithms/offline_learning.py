"""Mixin that trains off-policy algorithms from a dataset, without steps in the environment."""

import warnings
from typing import Any, Self

from stable_baselines3.common.type_aliases import MaybeCallback

from leo_agents.algorithms.normalization import NormalizingOffPolicyAlgorithm
from leo_agents.learning.precision import matmul_precision
from leo_agents.replay.goal_dataset import GoalDataset
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_agents.replay.point_goal_buffer import PointGoalReplayBuffer
from leo_wrappers.keys import DESIRED_GOAL_KEY
from leo_wrappers.validation import check_instance, check_integer

# Rows of the dataset that are added to the statistics of observations at once.
_CHUNK = 65_536

Buffer = GoalReplayBuffer | PointGoalReplayBuffer


class OfflineLearning(NormalizingOffPolicyAlgorithm):
    """
    Mixin for an off-policy algorithm whose replay buffer stores masks, or draws goals that are points, to be listed before it
    among the base classes.
    """

    is_offline = False
    """Whether the current gradient step is one of ``learn_offline``."""

    def learn_offline(
        self,
        dataset: GoalDataset,
        gradient_steps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1_000,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """
        Train the model from a dataset. The environment is not stepped, and the replay buffer stays as it is.

        Callbacks are called at every gradient step, and ``num_timesteps`` counts gradient steps. Checkpoints do not contain
        the dataset: to resume, pass it again with ``reset_num_timesteps=False``. Statistics of observations are taken from the
        dataset if the model has none yet. A call of ``learn`` continues online.

        :param dataset: transitions of the same spaces and goals
        :param gradient_steps: number of gradient steps
        :param callback: called at every gradient step
        :param log_interval: number of gradient steps between logs
        :param tb_log_name: name of the run for TensorBoard, the name of the class if None
        :param reset_num_timesteps: whether to start counting from 0
        :param progress_bar: whether to show a progress bar
        :return: the model
        """
        check_instance("dataset", dataset, GoalDataset, "create one with GoalDataset.from_arrays or GoalDataset.load")
        check_integer("gradient_steps", gradient_steps, 0)
        check_integer("log_interval", log_interval, 1)
        if self.env is None:
            raise ValueError("expected an environment, for its spaces, got None; pass one to set_env or load(..., env=...)")
        buffer = self._dataset_buffer(dataset)
        _warn_of_missing_goals(dataset)
        total, callback = self._setup_learn(
            gradient_steps, callback, reset_num_timesteps, tb_log_name or type(self).__name__, progress_bar
        )
        self._init_normalizers(dataset, buffer)
        callback.on_training_start(locals(), globals())
        with matmul_precision(self.device, getattr(self, "tf32", False)):
            while self.num_timesteps < total:
                callback.on_rollout_start()
                self.num_timesteps += 1
                self._update_current_progress_remaining(self.num_timesteps, total)
                self._train_from(buffer)
                callback.update_locals(locals())
                if not callback.on_step():
                    break
                if self.num_timesteps % log_interval == 0:
                    self.dump_logs()
        self._read_device()
        callback.on_training_end()
        return self

    def _read_device(self) -> None:
        """Called at the end, to read what the device has recorded since it was last read."""

    def _dataset_buffer(self, dataset: GoalDataset) -> Buffer:
        """Return a replay buffer of the kind of the model's with the transitions of a dataset."""
        own = self.replay_buffer
        if not isinstance(own, Buffer):
            raise ValueError(
                f"expected a GoalReplayBuffer to learn offline, got {type(own).__name__}; use a finite goal set, and for "
                'baselines buffer="her" or buffer="all_goals"'
            )
        kwargs = {**self.replay_buffer_kwargs, "verbose": 0}
        # The smallest size: the arrays are replaced by those of the dataset.
        buffer = type(own)(own.n_steps, self.observation_space, self.action_space, self.device, **kwargs)
        policy: Any = self.policy
        buffer.goal_names = tuple(policy.goal_names)
        buffer.read_dataset(dataset)
        return buffer

    def _init_normalizers(self, dataset: GoalDataset, buffer: Buffer) -> None:
        """Set the statistics of observations, if there are none yet, to those of a dataset."""
        if any(one.normalizer is not None and one.normalizer.is_empty for one in self._normalizing_policies()):
            for start in range(0, len(dataset), _CHUNK):
                rows = slice(start, start + _CHUNK)
                observations = {key: array[rows] for key, array in dataset.observations.items()}
                self._update_normalizers(observations | _commanded_points(buffer, rows))
        self._refresh_normalizers()

    def _train_from(self, buffer: Buffer) -> None:
        """Perform a gradient step on another replay buffer. Callbacks see, and checkpoints contain, the model's own."""
        own = self.replay_buffer
        self.replay_buffer, self.is_offline = buffer, True
        try:
            # As after a step of the environment, where DQN updates its target network.
            self._on_step()
            self.train(gradient_steps=1, batch_size=self.batch_size)
        finally:
            self.replay_buffer, self.is_offline = own, False


def _commanded_points(buffer: Buffer, rows: slice) -> dict[str, Any]:
    """Return the points of the commanded goals of some rows, if the model reads them."""
    if isinstance(buffer, PointGoalReplayBuffer):
        return {DESIRED_GOAL_KEY: buffer.observations[DESIRED_GOAL_KEY][rows, 0]}
    points = getattr(buffer, "goal_points", None)  # of a baseline
    return {} if points is None else {DESIRED_GOAL_KEY: points[buffer.goal_ids[rows, 0]]}


def _warn_of_missing_goals(dataset: GoalDataset) -> None:
    names = dataset.never_achieved()
    if names:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        warnings.warn(f"never achieved in the data: {len(names)} goals ({shown}); they cannot be learned", stacklevel=3)
