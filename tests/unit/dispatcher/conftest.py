"""The towns in which this room's stories play."""

from __future__ import annotations

from support.towns import open_town, town

__all__ = ["open_town", "town"]
