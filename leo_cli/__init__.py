"""The ``leo`` command: train, evaluate, play, record, plot and report; see :mod:`leo_cli.main`."""
