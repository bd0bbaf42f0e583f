"""The towns in which this room's stories play: with fleets, and mostly without a dispatcher."""

from __future__ import annotations

import pytest

from dronedispatch.testing.town import Town
from support.towns import OpenTown, open_town

__all__ = ["open_town"]


@pytest.fixture
async def town(open_town: OpenTown) -> Town:
    """Nobody is there yet."""
    return await open_town(desk=False, ticks=0, speed=10.0)
