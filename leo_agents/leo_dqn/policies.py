"""Policy of LEODQN."""

from stable_baselines3.common.type_aliases import Schedule

from leo_agents.networks.q_network import GoalQNetwork
from leo_agents.networks.q_policy import AllGoalsQPolicy


class LEODQNPolicy(AllGoalsQPolicy):
    """Policy of LEODQN with a target network; see :class:`~leo_agents.networks.q_policy.AllGoalsQPolicy`."""

    q_net_target: GoalQNetwork

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.q_net_target = self.make_q_net()
        self.q_net_target.load_state_dict(self.q_net.state_dict())
        self.q_net_target.set_training_mode(False)
