"""What is learned: targets and losses as pure functions, the all-goals Q-learner, optimizers, checkpoints."""
