"""Policy of LEODQN."""

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.networks.q_policy import AllGoalsQPolicy


class LEODQNPolicy(AllGoalsQPolicy):
    """
    Policy of LEODQN with a target network; the arguments are those of :class:`~leo_agents.networks.q_policy.AllGoalsQPolicy`,
    and:

    :param has_value_net: whether there is a network of V_g(s), a Q-network with one action; set by the algorithm
    """

    q_net_target: GoalQNetwork
    value_net: GoalQNetwork

    def __init__(self, *args: Any, has_value_net: bool = False, **kwargs: Any) -> None:
        self.has_value_net = has_value_net
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.q_net_target = self.make_q_net()
        self.q_net_target.load_state_dict(self.q_net.state_dict())
        self.q_net_target.set_training_mode(False)
        if self.has_value_net:
            self.value_net = self.make_q_net(spaces.Discrete(1))
            self.optimizer = self.make_optimizer(nn.ModuleList([self.q_net, self.value_net]), lr_schedule(1))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "has_value_net": self.has_value_net}
