"""What is stored: the replay buffer with goal masks, the rollout buffer, hindsight relabelling of rollouts."""
