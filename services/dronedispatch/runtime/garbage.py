"""The collector of cycles, set for processes that make many values and no cycles.

A full search goes through all modules and all that lives: 20 ms and more, at a moment that nobody chose.
"""

from __future__ import annotations

import gc

NEW_OBJECTS = 50_000


def search_rarely() -> None:
    """What is there now is never searched again, and what comes is searched rarely. Call it once all has been created."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 100)
