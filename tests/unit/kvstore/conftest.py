"""What tests of a replica's disk begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dronedispatch.kvstore.engine import Engine
from support.disk_engine import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.close()


@pytest.fixture
def engine(disk: Disk) -> Engine:
    assert disk.engine is not None
    return disk.engine
