"""The interface that all algorithms share: explicit signatures, values and actions for every goal, exploration schedules."""

import inspect
from itertools import combinations

import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, PQN, DualLEOPPO, DualLEOPQN
from leo_wrappers.sb3 import VecGoalSampler
from tests.line_env import make_line
from tests.walled_box_env import WalledBoxEnv

OFF_POLICY = [LEODQN, LEOTD3, LEOSAC]
ON_POLICY = [LEOPQN, PQN, DualLEOPQN, DualLEOPPO]
ALGORITHMS = [*OFF_POLICY, *ON_POLICY]
PAPER_MODE = [LEOPQN, PQN, DualLEOPQN]
ALIASES = ["MultiGoalPolicy", "MlpPolicy", "CnnPolicy", "MultiInputPolicy"]
DEFAULTS = {
    "gamma": 0.99,
    "exploration_fraction": 0.2,
    "loss": "bce",
    "goals_per_update": None,
    "goal_reduction": "mean",
    "amp": False,
    "tf32": True,
    "cuda_graph": None,
    "goal_selector": None,
    "log_goals": False,
    "stats_window_size": 100,
    "tensorboard_log": None,
    "policy_kwargs": None,
    "verbose": 0,
    "seed": None,
    "device": "auto",
}
EVERYWHERE = ["gamma", "goal_selector", "log_goals", "stats_window_size", "tensorboard_log", "policy_kwargs"]
EVERYWHERE += ["tf32", "verbose", "seed", "device"]


def make_model(kind, policy="MultiGoalPolicy", **kwargs):
    if kind in (LEOTD3, LEOSAC):
        return kind(policy, WalledBoxEnv(horizon=20), **{"buffer_size": 1_000, "seed": 0, "device": "cpu", **kwargs})
    if kind is LEODQN:
        return kind(policy, make_line(), **{"buffer_size": 1_000, "seed": 0, "device": "cpu", **kwargs})
    envs = DummyVecEnv([make_line] * 4)
    return kind(policy, envs, **{"n_steps": 8, "batch_size": 16, "seed": 0, "device": "cpu", **kwargs})


def parameters_of(kind):
    return inspect.signature(kind).parameters


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_signatures_are_explicit(kind):
    parameters = parameters_of(kind)
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    assert [name for name, parameter in parameters.items() if parameter.kind in variadic] == []
    assert list(parameters)[:2] == ["policy", "env"]
    assert set(EVERYWHERE) <= set(parameters)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_shared_arguments_have_the_same_defaults(kind):
    # None where paper_mode chooses the loss.
    defaults = {**DEFAULTS, "loss": None} if kind in PAPER_MODE else DEFAULTS
    found = {name: parameter.default for name, parameter in parameters_of(kind).items() if name in defaults}
    assert found == {name: defaults[name] for name in found}


@pytest.mark.parametrize(("first", "second"), list(combinations(ALGORITHMS, 2)))
def test_shared_arguments_are_in_the_same_order(first, second):
    # The rollout's length on-policy, the window's length off-policy, each at its place in SB3.
    ignored = {"n_steps"} if (first in OFF_POLICY) != (second in OFF_POLICY) else set()
    shared = [name for name in parameters_of(first) if name in parameters_of(second) and name not in ignored]
    assert shared == [name for name in parameters_of(second) if name in shared]


@pytest.mark.parametrize("kind", ALGORITHMS)
@pytest.mark.parametrize("policy", [*ALIASES, "class"])
def test_values_and_act(kind, policy):
    aliases = kind.policy_aliases
    assert set(ALIASES) <= set(aliases)
    model = make_model(kind, aliases["MultiGoalPolicy"] if policy == "class" else policy)
    assert type(model.policy) is aliases["MultiGoalPolicy"]
    num_goals = len(model.goal_names)
    state = model.env.reset()["observation"][0]
    for holder in (model, model.policy):
        values = holder.values(np.stack([state] * 3))
        assert values.shape == (3, num_goals) and values.dtype == np.float32
        assert holder.values(state).shape == (1, num_goals)
        np.testing.assert_allclose(holder.values({"observation": state, "goal_id": 1})[0], values[0], rtol=1e-5)
        by_name, by_index = holder.act(state, model.goal_names[2]), holder.act(state, 2)
        assert model.action_space.contains(by_name)
        np.testing.assert_array_equal(by_name, by_index)
    expected, _ = model.predict({"observation": state, "goal_id": np.int64(2)}, deterministic=True)
    np.testing.assert_array_equal(model.act(state, 2), expected)


@pytest.mark.parametrize("kind", [kind for kind in ALGORITHMS if kind is not DualLEOPPO])
def test_exploration_rate_follows_its_schedule(kind):
    options = {"exploration_fraction": 0.5, "exploration_initial_eps": 0.8, "exploration_final_eps": 0.2}
    model = make_model(kind, **options)
    rates = []
    model.learn(128, callback=lambda values, _: rates.append((model.num_timesteps, model.exploration_rate)) or True)
    # Rollouts of 32 steps have the rate of their start; else the rate is updated after every step.
    interval = 32 if kind in ON_POLICY else 1
    for num_timesteps, rate in rates:
        progress = (num_timesteps - 1) // interval * interval / 128
        assert rate == pytest.approx(0.8 - 0.6 * min(progress / 0.5, 1.0))
    assert len({rate for _, rate in rates}) > 2


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_goal_selector(kind):
    model = make_model(kind, goal_selector="round_robin")
    assert isinstance(model.env, VecGoalSampler)
    assert type(model.goal_sampler.goal_selector).__name__ == "RoundRobinGoals"
    with pytest.raises(ValueError, match="got 'nowhere'"):
        make_model(kind, goal_selector="nowhere")
