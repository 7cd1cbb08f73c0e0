"""Memory that was freed, given back.

Who frees a large table and asks for other large ones finds the room in the C library's heap cut
into pieces, and the process grows by what it no longer holds. Given back, it does not.
"""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa


def give_back() -> None:
    """Let the system have what Arrow and the C library keep for later; a matter of milliseconds.

    The C library is only asked on Linux, and only where it is one that can (glibc).
    """
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)
