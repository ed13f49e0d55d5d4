"""Tests of Stable-Baselines3 that cannot hold for our algorithms, and why."""

from typing import NamedTuple


class NotApplicable(NamedTuple):
    """Failures that are no fault: the name of the test and the error match these regular expressions."""

    reason: str
    test: str = ""
    error: str = ""


NOT_APPLICABLE: list[NotApplicable] = [
    # What our algorithms refuse, by their messages.
    NotApplicable("VecNormalize has to be outside of VecGoalSampler", error="expected no VecNormalize below VecGoalSampler"),
    NotApplicable("state-dependent exploration is for a single policy", error="use_sde|sde_sample_freq"),
    NotApplicable("HER: every transition updates all goals already", error="expected replay_buffer_class GoalReplayBuffer"),
    NotApplicable("optimize_memory_usage: observations are Dict", error="expected optimize_memory_usage=False"),
    NotApplicable("LEOPQN and DualLEOPPO take Discrete actions", error=r"expected Discrete actions, got Multi"),
    NotApplicable(
        "arguments of policy gradients",
        error="argument '(gae_lambda|normalize_advantage|rollout_buffer_class|log_std_init|share_features_extractor)'",
    ),
    # Goals are to be reached eventually: missing one once costs 1 - gamma, while a sum of rewards loses 1.
    NotApplicable(
        "gamma 0.95: needs 1,000 steps instead of 400", r".*::test_continuous\[(SAC|TD3|DDPG)", "Mean reward below threshold"
    ),
    # Other arguments and attributes.
    NotApplicable("DualLEOPPO needs its own policy", r"test_gae", error="unexpected keyword argument 'goal_names'"),
    NotApplicable("net_arch of a Q-network is a list", r".*::test_flexible_mlp\[A2C-", "each width in net_arch|DID NOT WARN"),
    NotApplicable("features extractors of DualLEOPPO read a Dict with goal_id", r"test_train_eval_mode.*PPO", "'flatten'"),
    NotApplicable("a Q-network has its own features extractor", r"test_train_eval_mode.*A2C", error="'NoneType' object"),
    NotApplicable("a Q-network has no pi_features_extractor", r".*::test_save_load_env_cnn\[A2C", "pi_features_extractor"),
    NotApplicable("distributions and values of policy gradients", r".*::test_(get_distribution|predict_values)"),
    NotApplicable("values are those of all goals", r"test_gae.py::test_infinite_horizon", "only integers, slices"),
    NotApplicable("target_update_freq counts gradient steps", r".*::test_dqn_target_update", "assert 10000 == 100"),
    NotApplicable("target_update_freq counts gradient steps", r".*::test_warn_dqn_multi_env", "DID NOT WARN"),
    NotApplicable("target_update_freq counts gradient steps", r".*::test_dqn_train_with_batch_norm", "isclose"),
    NotApplicable("all minibatches of a rollout have equal size", error=r"expected batch_size to divide"),
    NotApplicable("all minibatches of a rollout have equal size", r".*::test_ppo_warnings", "truncated mini-batch"),
    NotApplicable("n-step windows are part of GoalReplayBuffer", r"test_n_step_replay.py::test_run", "NStepReplayBuffer"),
    NotApplicable(
        "heads start at zero: the first update changes no other layer", r".*::test_features_extractor_t", "allclose"
    ),
    NotApplicable("target networks share no features extractor", r".*::test_features_extractor_target_net", r"id\("),
    # Goals and Dict observations.
    NotApplicable("observations are Dict, with goal_id", r"test_callbacks.py::test_callbacks", error="^0$"),
    NotApplicable("observations are Dict, with goal_id", r".*::test_save_load_replay_buffer", "'dict' and 'dict'"),
    NotApplicable("observations are Dict, with goal_id", r".*::test_evaluate_policy", "'dict' and 'dict'"),
    NotApplicable("all names of policies take Dict observations", r".*::test_policy_hint", "DID NOT RAISE"),
    NotApplicable("is_success is about the commanded goal", r".*::test_rollout_success_rate_onpolicy_algo", "== 0.3"),
    NotApplicable("errors about actions are ValueErrors", r".*::test_(action_spaces|multidim)", "expected .* actions"),
    NotApplicable("errors about clip_range_vf are ValueErrors", r".*::test_ppo\[-0.2", "expected clip_range_vf"),
    # Limits of the substitution.
    NotApplicable(
        "the test's continuous actions were made discrete", r".*(A2C|PPO)\]", error=r"assert \(\) == |dtype\('int64'\)"
    ),
    NotApplicable("the test's continuous actions were made discrete", r".*::test_continuous\[PPO", "below threshold"),
    NotApplicable("the test's continuous actions were made discrete", r"test_callbacks.py::", error="to scalar variable"),
    NotApplicable("the test's VecEnv has no reset_infos", r"test_vec_extract_dict_obs", error="reset_infos"),
]
