"""Makes the tables' ``small_readings`` importable: controls are tested on built tables."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tables"))
