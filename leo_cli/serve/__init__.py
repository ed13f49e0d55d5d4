"""Agents in the browser: ``leo serve`` and ``leo export --web``."""
