from __future__ import annotations

import sys
from pathlib import Path

# Test folders are no packages; the helpers beside the tests are found here.
sys.path.insert(0, str(Path(__file__).parent))
