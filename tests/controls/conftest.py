"""Makes ``small_findings`` and the tables' ``small_readings`` importable."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tables")]
