"""What an algorithm predicts for some transitions, and what it would learn from them: the input of diagnostics."""

from typing import Any, NamedTuple

import torch as th


class Probe(NamedTuple):
    """Outputs and targets of the taken actions, as an update computes them."""

    outputs: th.Tensor
    """Of the head for the taken actions, before the sigmoid, with gradients ``[batch, goals]``."""
    targets: th.Tensor
    """``[batch, goals]``."""
    network: Any
    """The network of the outputs: ``values`` converts them to Q_g(s, a)."""
