"""How hard Hypothesis tries with whole scans.

``HYPOTHESIS_PROFILE=thorough python -m pytest tests/properties`` tries twenty times as hard.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile(
    "scans", deadline=None, max_examples=6, suppress_health_check=_SLOW, derandomize=True
)
settings.register_profile(
    "thorough", deadline=None, max_examples=120, suppress_health_check=_SLOW, print_blob=True
)
