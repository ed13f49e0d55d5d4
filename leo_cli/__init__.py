"""The ``leo`` command: train, evaluate, play, film, plot and report, see :mod:`leo_cli.main`."""
