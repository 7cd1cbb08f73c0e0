"""``python -m orgscan``."""

from __future__ import annotations

from orgscan.cli import main

if __name__ == "__main__":
    main()
