"""Makes ``small_runs`` importable."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]
