"""Group commit against one by one, on the replica's engine alone."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.disk import open_disk
from dronedispatch.kvstore.engine import Bounds, Engine

RECORDS = 1_280


def records_a_second(folder: Path, group: int) -> float:
    """Durable records a second when `group` of them share a commit."""
    shutil.rmtree(folder, ignore_errors=True)
    engine = Engine(open_disk(folder), AnswerCache(items_max=10_000, bytes_max=1 << 26), Bounds(0, 10_000, 1))
    value = os.urandom(300)
    began_s = time.perf_counter()
    for first in range(0, RECORDS, group):
        write = engine.begin()
        for number in range(first, first + group):
            key = f"key{number}"
            record = Record(Version(1, 1), bytes(16), 0.0, False, None, (), value)
            write.put(key, slot_of(key), record)
        engine.commit(write)
        engine.sync()
        engine.publish(write)
    seconds = time.perf_counter() - began_s
    engine.close()
    shutil.rmtree(folder)
    return RECORDS / seconds
