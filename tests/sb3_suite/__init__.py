"""Run Stable-Baselines3's own tests with our algorithms in the place of its algorithms."""
