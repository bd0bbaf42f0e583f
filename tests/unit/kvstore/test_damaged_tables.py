"""A data file whose pages lead nowhere near their tables: noticed before it is used, and set aside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from dronedispatch.kvstore.app import open_engine
from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.disk import DATABASES
from dronedispatch.kvstore.engine import Bounds, Engine
from dronedispatch.kvstore.settings import Settings


def make(path: Path, content: dict[bytes, bytes]) -> None:
    """A data file in whose root something else stands where a table is expected."""
    path.mkdir()
    with lmdb.open(str(path), max_dbs=DATABASES) as env, env.begin(write=True) as txn:
        for key, value in content.items():
            txn.put(key, value)


def opened(path: Path) -> Engine:
    cache, bounds = AnswerCache(items_max=10, bytes_max=100_000), Bounds(0, 100, 10_000)
    return open_engine(Settings(data_dir=path), cache, bounds, threaded=False)


def test_a_replica_whose_tables_cannot_be_opened_sets_them_aside(tmp_path: Path) -> None:
    opened(tmp_path / "disk").close()
    with lmdb.open(str(tmp_path / "disk"), max_dbs=DATABASES) as env:
        table = env.open_db(b"data")
        with env.begin(write=True) as txn:
            txn.drop(table)
            txn.put(b"data", b"no table")
    opened(tmp_path / "disk").close()
    assert (tmp_path / "disk" / "set-aside" / "reason").exists()


@pytest.mark.real
def test_a_table_that_is_missing_hides_no_damage_of_another(tmp_path: Path) -> None:
    make(tmp_path / "disk", {b"hints": b"no table"})  # and no meta, which is read first
    words = [sys.executable, "-m", "dronedispatch.kvstore.read_through", str(tmp_path / "disk")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done
