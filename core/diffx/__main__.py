"""`python -m diffx`, the form that `accelerate launch -m diffx` needs."""

import sys

from diffx.cli import main

if __name__ == "__main__":
    sys.exit(main())
