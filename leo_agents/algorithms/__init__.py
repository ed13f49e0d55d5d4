"""Base classes of the algorithms, between Stable-Baselines3 and the algorithm packages."""
