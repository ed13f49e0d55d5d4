"""Environments that report, at every step, which of all goals were achieved."""

__version__ = "0.1.0"
