"""Subcommands of the ``leo`` command, one per module. They import slow libraries only when they run."""
