"""``python -m insphere`` is the command ``insphere``."""

import sys

from insphere.cli import main

if __name__ == "__main__":
    sys.exit(main())
