"""A replica's engine on a folder of its own: opened, killed and opened again, as often as a test likes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import SLOTS, slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.disk import MAP_BYTES, open_disk
from dronedispatch.kvstore.engine import Bounds, Engine
from dronedispatch.kvstore.txn import LmdbTxn


def record(value: bytes = b"v", n: int = 1, tags: tuple[str, ...] = ()) -> Record:
    return Record(Version(1, n), bytes(16), 0.0, False, None, tags, value)


def open_engine(
    path: Path, *, reserve_bytes: int = 0, hint_bytes_max: int = 10_000, map_bytes: int = MAP_BYTES
) -> Engine:
    cache = AnswerCache(items_max=100, bytes_max=1_000_000)
    return Engine(open_disk(path, map_bytes), cache, Bounds(reserve_bytes, 100, hint_bytes_max))


class Disk:
    """One folder, and the engine that has it open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open()

    def open(self) -> Engine:
        self.engine: Engine | None = open_engine(self.path)
        return self.engine

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
        self.engine = None

    def kill(self) -> None:
        """As kill -9: what LMDB has not committed is gone."""
        assert self.engine is not None
        if self.engine._txn is not None:
            self.engine._txn.abort()
        self.engine.disk.close()
        self.engine = None

    def reopened(self) -> Engine:
        self.close()
        return self.open()

    def killed_and_opened(self) -> Engine:
        self.kill()
        return self.open()


@contextmanager
def transaction(engine: Engine) -> Iterator[LmdbTxn]:
    """Durable and seen by everybody at its end; nothing of it is, where something is refused."""
    write = engine.begin()
    try:
        yield write
        engine.commit(write)
    except BaseException:
        engine.abort(write)
        raise
    engine.sync()
    engine.publish(write)


def store(engine: Engine, **records: Record) -> None:
    with transaction(engine) as write:
        for key, new in records.items():
            write.put(key, slot_of(key), new)


def get(engine: Engine, key: str) -> Record | None:
    with engine.reading() as reads:
        return reads.get(key)


def listed(
    engine: Engine,
    tag: str | None = None,
    prefix: str = "",
    after: str | None = None,
    *,
    reverse: bool = False,
) -> list[str]:
    """The keys that a scan finds."""
    with engine.reading() as reads:
        found = reads.scan(range(SLOTS), prefix=prefix, tag=tag, after=after, reverse=reverse)
        return [key for key, _ in found]
