"""``python -m leo_cli`` is ``leo``."""

import sys

from leo_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
