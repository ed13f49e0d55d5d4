"""Sweeps and tuning: many trainings as jobs in a shared folder, which any number of workers on any machines run."""
