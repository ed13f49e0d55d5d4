import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3 import DQN

import leo_envs
from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3
from leo_agents.evaluation import GoalDiagnosticsCallback
from leo_agents.evaluation.callbacks import restored_random_states
from leo_agents.evaluation.diagnostics import diagnose
from leo_agents.learning.probe import Probe
from leo_wrappers import AnyGoalWrapper, MultiGoalWrapper, PredicateGoals
from tests.line_env import LineEnv, make_line
from tests.walled_box_env import WalledBoxEnv

gym.register_envs(leo_envs)

OPTIONS = {"seed": 0, "device": "cpu"}
REPLAY = {**OPTIONS, "learning_starts": 50, "batch_size": 16, "buffer_size": 1_000, "policy_kwargs": {"net_arch": [16, 16]}}
GOALS = PredicateGoals(
    {"left": lambda s: s[..., 0] < -0.2, "right": lambda s: s[..., 0] > 0.2, "never": lambda s: s[..., 0] > 9.0},
    signal_shape=(2,),
)


def make_model(algorithm, **kwargs):
    if algorithm is LEOPQN:
        return LEOPQN("MultiGoalPolicy", make_line(), n_steps=40, batch_size=40, **OPTIONS, **kwargs)
    if algorithm is LEODQN:
        return LEODQN("MultiGoalPolicy", make_line(), **{**REPLAY, **kwargs})
    return algorithm("MultiGoalPolicy", MultiGoalWrapper(WalledBoxEnv(start="random", horizon=30), GOALS), **REPLAY, **kwargs)


def weights(model):
    return th.cat([parameter.detach().reshape(-1) for parameter in model.policy.parameters()])


@pytest.mark.parametrize("algorithm", [LEODQN, LEOPQN, LEOTD3, LEOSAC])
def test_logs_while_training_is_bitwise_unchanged(algorithm):
    plain = make_model(algorithm).learn(200)
    callback = GoalDiagnosticsCallback(log_freq=40, batch_size=32)
    model = make_model(algorithm)
    logged = []
    model.set_logger(_Recorder(logged))
    model.learn(200, callback)
    assert th.equal(weights(plain), weights(model))
    assert callback.last_diagnostics.td_errors.shape == (len(model.goal_names),)
    names = {"q_value_max", "td_error_mean", "td_error_worst", "gradient_norm", "dead_heads"}
    recorded = [name.removeprefix("diagnostics/") for name in logged if name.startswith("diagnostics/")]
    assert names <= set(recorded)
    # At 80, 120, 160 and 200 steps, and at the first update with a replay buffer.
    assert recorded.count("td_error_mean") == (4 if algorithm is LEOPQN else 5)
    assert (callback.last_diagnostics.values <= 1).all()


class _Recorder:
    """Logger that lists the names of everything recorded."""

    def __init__(self, names):
        self.names = names
        self.name_to_value, self.output_formats, self.dir = {}, [], None

    def record(self, key, value, exclude=None):
        self.names.append(key)

    record_mean = record

    def dump(self, step=0):
        pass


def test_td_errors_are_those_of_a_plain_computation():
    model = make_model(LEODQN, n_steps=1).learn(200)
    with restored_random_states():
        diagnostics = diagnose(model.probe(64), model)
    with restored_random_states():
        batch = model.replay_buffer.sample(64)
    observations = {key: array.numpy() for key, array in batch.observations.items()}
    q_values = model.q_values(observations)
    taken = q_values[np.arange(64), :, batch.actions.numpy().reshape(-1)]
    with th.no_grad():
        next_values = model.q_net_target(batch.next_observations).numpy().max(axis=2)
    masks, ended = batch.goals_achieved.numpy(), batch.dones.numpy()
    targets = np.where(masks == 1, 1.0, model.gamma * (1 - ended) * next_values)
    np.testing.assert_allclose(diagnostics.td_errors, np.abs(taken - targets).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(diagnostics.values, taken.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(diagnostics.spreads, taken.std(axis=0), atol=1e-6)
    model.policy.optimizer.zero_grad()
    model.learner.loss(batch.observations, batch.actions, th.as_tensor(targets)).backward()
    norm = th.nn.utils.get_total_norm([one.grad for one in model.q_net.parameters() if one.grad is not None])
    assert diagnostics.gradient_norm == pytest.approx(float(norm), rel=1e-5)


class _Network(th.nn.Module):
    """Values that are the outputs, with one parameter."""

    squash = True

    def __init__(self):
        super().__init__()
        self.weight = th.nn.Parameter(th.ones(1))

    def values(self, outputs):
        return th.sigmoid(outputs)


def test_dead_heads_and_values_of_goals_never_seen():
    model = make_model(LEODQN)
    model.goal_sampler.goal_selector.seen[:] = [True, True, False, False, True]
    network = _Network()
    outputs = th.tensor([[0.0, 0.0, 3.0, -3.0, 1.0], [1.0, 0.0, 3.0, -3.0, -1.0]])
    diagnostics = diagnose(Probe(outputs * network.weight, th.zeros(2, 5), network), model)
    # Goals 1 to 3 are constant, and goal 1 was achieved.
    np.testing.assert_array_equal(diagnostics.dead_heads, [False, True, False, False, False])
    summary = diagnostics.summary()
    assert summary["dead_heads"] == 1
    assert summary["unseen_value_max"] == pytest.approx(1 / (1 + np.exp(-3)))
    assert summary["unseen_value_mean"] == pytest.approx(0.5)
    model.goal_sampler.goal_selector.seen[:] = True
    assert "unseen_value_max" not in diagnose(Probe(outputs * network.weight, th.zeros(2, 5), network), model).summary()


def test_a_resumed_training_logs_at_the_same_steps():
    whole, parts = [], []
    model = make_model(LEODQN)
    model.learn(400, _Steps(whole))
    model = make_model(LEODQN)
    model.learn(200, _Steps(parts))
    model.learn(200, _Steps(parts), reset_num_timesteps=False)
    assert whole == parts


class _Steps(GoalDiagnosticsCallback):
    def __init__(self, steps):
        super().__init__(log_freq=60, batch_size=8)
        self.steps = steps

    def _on_rollout_end(self):
        before = self.last_diagnostics
        super()._on_rollout_end()
        if self.last_diagnostics is not before:
            self.steps.append(self.num_timesteps)


@pytest.mark.parametrize("arguments", [{"log_freq": 0}, {"batch_size": 0}, {"log_freq": 1.5}, {"verbose": 3}])
def test_wrong_arguments(arguments):
    with pytest.raises((ValueError, TypeError), match=next(iter(arguments))):
        GoalDiagnosticsCallback(**arguments)


def test_other_algorithms_are_refused():
    with pytest.raises(TypeError, match="expected LEODQN, LEOPQN, LEOTD3 or LEOSAC, got DQN"):
        DQN("MlpPolicy", LineEnv()).learn(10, GoalDiagnosticsCallback())


def test_goals_that_are_points_are_refused():
    env = AnyGoalWrapper(gym.make("leo/PointMaze_UMaze-v0"))
    with pytest.raises(ValueError, match="expected a finite goal set"):
        LEOTD3("MultiGoalPolicy", env, **REPLAY).learn(10, GoalDiagnosticsCallback())
