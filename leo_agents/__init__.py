"""Stable-Baselines3 algorithms that learn every goal from every step."""
