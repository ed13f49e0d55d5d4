"""Import Hypothesis; if it is missing, raise an error with the install command."""

try:
    import hypothesis as hypothesis
    from hypothesis import stateful as stateful
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as st_numpy
except ImportError as error:
    raise ImportError('leo_wrappers.testing needs Hypothesis; install it with: pip install "leo-rl[testing]"') from error

__all__ = ["hypothesis", "st", "st_numpy", "stateful"]
