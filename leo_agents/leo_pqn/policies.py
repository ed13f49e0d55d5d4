"""Policy of LEOPQN."""

from typing import ClassVar

import torch as th

from leo_agents.learning.optimization import FusedRAdam
from leo_agents.networks.q_policy import AllGoalsQPolicy


class LEOPQNPolicy(AllGoalsQPolicy):
    """Policy of LEOPQN, without target network; see :class:`~leo_agents.networks.q_policy.AllGoalsQPolicy`."""

    default_optimizer_class: ClassVar[type[th.optim.Optimizer]] = FusedRAdam
