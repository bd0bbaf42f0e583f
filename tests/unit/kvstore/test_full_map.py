"""A map that is full refuses values, takes deletes, and comes back by them."""

from __future__ import annotations

from pathlib import Path

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.disk import MAP_BYTES_MIN
from dronedispatch.kvstore.engine import Engine
from dronedispatch.kvstore.txn import DiskFull
from support.disk_engine import open_engine, store, transaction

VALUE_BYTES = 60_000
TAGS = ("status=delivered", "drone=d1")


def record(n: int, *, tombstone: bool = False) -> Record:
    value = b"" if tombstone else bytes(VALUE_BYTES)
    return Record(
        Version(1, n), n.to_bytes(16, "big"), 1.0, tombstone, None, () if tombstone else TAGS, value
    )


def write(engine: Engine, keys: list[str], *, n: int = 1, tombstone: bool = False) -> None:
    store(engine, **{key: record(n, tombstone=tombstone) for key in keys})


def fill(engine: Engine, prefix: str) -> list[str]:
    """Write until it is refused; the keys that were taken."""
    taken: list[str] = []
    while len(taken) < 100_000:
        keys = [f"{prefix}{len(taken) + number}" for number in range(20)]
        try:
            write(engine, keys)
        except DiskFull:
            engine.checkpoint()  # room is asked for once in each of LMDB's transactions
            if engine.why_no_room() is not None:
                return taken
            continue
        taken += keys
    raise AssertionError("it is never full")


def test_a_full_map_takes_tombstones_for_all_it_holds_and_then_values_again(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk", map_bytes=MAP_BYTES_MIN)
    first = fill(engine, "first")
    assert len(first) * VALUE_BYTES > MAP_BYTES_MIN / 2
    assert engine.used()[0] > 0.85
    assert engine.why_no_room() is not None
    for start in range(0, len(first), 100):
        write(engine, first[start : start + 100], n=2, tombstone=True)
    for start in range(0, len(first), 100):  # the sweep
        with transaction(engine) as txn:
            for key in first[start : start + 100]:
                txn.remove(key, slot_of(key))
    assert engine.why_no_room() is None
    assert len(fill(engine, "second")) > len(first) * 0.9
    engine.close()
