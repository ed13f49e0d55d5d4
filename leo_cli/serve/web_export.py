"""An agent and its grid world as data for a page that runs both in the browser."""

import base64
import copy
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from leo_agents.networks.batch_renorm import FusedBatchRenorm
from leo_agents.networks.q_policy import AllGoalsQPolicy
from leo_cli.run_folder import RunFolder, SeedFolder
from leo_cli.serve.player import Player
from leo_cli.serve.session import Session
from leo_envs.gridworld import GridWorldEnv, rendering

MAX_WEIGHTS = 2_000_000
_FPS = 8.0
_ACTIVATIONS = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
_COLORS = {
    "floor": rendering.FLOOR,
    "lines": rendering.LINES,
    "walls": rendering.WALLS,
    "agent": rendering.AGENT,
    "rim": rendering.RIM,
    "goal": rendering.GOAL,
    "pale_goal": rendering.PALE_GOAL,
}

Layer = dict[str, Any]


def export_agent(run: RunFolder, seed: SeedFolder) -> dict[str, Any]:
    """
    Describe an agent and its grid world as JSON.

    :param run: a run in a grid world, with an agent that has Q-values of all goals
    :param seed: the seed whose agent is exported
    :return: what ``grid_world.js`` reads
    """
    player = Player(run, seed, run.config.algorithm)
    env, agent = player.env.unwrapped, player.agent
    if not isinstance(env, GridWorldEnv):
        raise ValueError(f"expected a run in a grid world, got {run.config.environment}; use leo serve")
    session = Session(run.config, [player], _FPS)
    return {
        "description": session.description(),
        "layers": network_layers(agent.policy),
        "gamma": agent.gamma,
        "rows": str(env.grid).splitlines(),
        "starts": np.asarray(env.mdp.starts).tolist(),
        "observation": run.config.env_kwargs.get("observation", "row_column"),
        "first_goal": run.config.eval_goal_ids[0],
        "max_steps": player.max_steps,
        "epsilon": run.config.settings.evaluation.epsilon,
        "fps": _FPS,
        "colors": {name: f"rgb({','.join(map(str, color))})" for name, color in _COLORS.items()},
    }


def network_layers(policy: Any) -> list[Layer]:
    """
    Export the Q-network of a policy, from flat observations to the values of all actions and goals.

    :param policy: the policy
    :return: layers as ``network.js`` reads them; the outputs are ``[A, G]``, flattened
    """
    if not isinstance(policy, AllGoalsQPolicy):
        raise ValueError(f"expected an agent of leodqn or leopqn, got a {type(policy).__name__}; use leo serve")
    network = copy.deepcopy(policy.q_net).double()
    network.set_training_mode(False)
    if type(network.features_extractor) is not FlattenExtractor:
        extractor = type(network.features_extractor).__name__
        raise ValueError(f"expected a network that reads observations as they are, got a {extractor} first; use leo serve")
    layers = [
        *(_layer(module) for module in network.trunk),
        # Every head is linear in the features, whatever it computes its weights from.
        _linear(lambda features: network.head(features).transpose(1, 2).flatten(1), network.head.features_dim),
    ]
    if network.squash:
        layers.append({"kind": "sigmoid"})
    num_weights = sum(len(layer.get("weight", "")) for layer in layers) * 3 // 16
    if num_weights > MAX_WEIGHTS:
        raise ValueError(
            f"expected a network of at most {MAX_WEIGHTS:,} weights, got {num_weights:,}; train a smaller one, for example "
            "with --set policy_kwargs.net_arch=[64,64]"
        )
    return layers


def _layer(module: nn.Module) -> Layer:
    if type(module) in _ACTIVATIONS:
        return {"kind": _ACTIVATIONS[type(module)]}
    if isinstance(module, nn.LayerNorm):
        return {"kind": "layer_norm", "weight": _floats(module.weight), "bias": _floats(module.bias), "epsilon": module.eps}
    if isinstance(module, nn.Linear):
        return {"kind": "linear", "weight": _floats(module.weight), "bias": _floats(module.bias)}
    if isinstance(module, FusedBatchRenorm):
        assert isinstance(module.ra_mean, th.Tensor)
        return _linear(module, len(module.ra_mean))
    raise ValueError(
        f"expected one of the activations {', '.join(kind.__name__ for kind in _ACTIVATIONS)}, got {type(module).__name__}; "
        "use leo serve"
    )


def _linear(function: Any, num_inputs: int) -> Layer:
    """Find weight and bias of a linear function of a batch ``[B, num_inputs]``."""
    with th.no_grad():
        bias = function(th.zeros(1, num_inputs, dtype=th.float64))
        weight = function(th.eye(num_inputs, dtype=th.float64)) - bias
    return {"kind": "linear", "weight": _floats(weight.t()), "bias": _floats(bias[0])}


def _floats(tensor: th.Tensor) -> str:
    """Encode as base64 of little-endian float32."""
    return base64.b64encode(tensor.detach().cpu().numpy().astype("<f4").tobytes()).decode("ascii")
