"""``python -m tests.kit.simulator``: the simulator with the worlds of the tests."""

from __future__ import annotations

import sys

from orgscan.simulator.__main__ import main
from tests.kit.worlds import WORLDS

if __name__ == "__main__":
    sys.exit(main(worlds=WORLDS))
