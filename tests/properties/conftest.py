"""Makes the whole scans of ``tests/faults`` importable, and sets how hard Hypothesis tries.

``HYPOTHESIS_PROFILE=thorough python -m pytest tests/properties`` tries twenty times as hard.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile(
    "scans", deadline=None, max_examples=6, suppress_health_check=_SLOW, derandomize=True
)
settings.register_profile(
    "thorough", deadline=None, max_examples=120, suppress_health_check=_SLOW, print_blob=True
)


def profile() -> settings:
    """What the properties of whole scans are tried with; other tests keep Hypothesis's own."""
    return settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "scans"))
