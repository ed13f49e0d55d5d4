"""Multi-goal environments."""
