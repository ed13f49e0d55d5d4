"""Run the ``leo`` command as ``python -m leo_cli``."""

import sys

from leo_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
