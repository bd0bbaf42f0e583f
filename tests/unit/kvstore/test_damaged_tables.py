"""A data file whose pages lead nowhere near their tables: noticed before it is used, and set aside."""

from __future__ import annotations

import sys
from pathlib import Path

import lmdb
import pytest

from dronedispatch.kvstore.app import open_engine
from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.disk import DATABASES
from dronedispatch.kvstore.engine import Bounds, Engine
from dronedispatch.kvstore.settings import Settings
from support.commands import ran


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
    assert read_through(tmp_path / "disk") == 1


def read_through(path: Path) -> int:
    words = [sys.executable, "-m", "dronedispatch.kvstore.read_through", str(path)]
    return ran(words).returncode


@pytest.mark.real
def test_a_table_whose_name_is_damaged_is_not_one_that_was_never_made(tmp_path: Path) -> None:
    opened(tmp_path / "disk").close()
    assert read_through(tmp_path / "disk") == 0
    file = tmp_path / "disk" / "data.mdb"
    file.write_bytes(file.read_bytes().replace(b"meta", b"mexa"))
    assert read_through(tmp_path / "disk") != 0


def root_of_free_pages(data: bytes, page_bytes: int = 4096) -> int:
    """Where the list of free pages begins: `mm_dbs[0].md_root` of the newer of the two meta pages (LMDB's lmdb.h, mdb.c)."""
    metas = [data[number * page_bytes :][:page_bytes] for number in range(2)]
    newer = max(metas, key=lambda page: int.from_bytes(page[144:152], "little"))
    return int.from_bytes(newer[80:88], "little") * page_bytes


@pytest.mark.real
def test_a_damaged_list_of_free_pages_is_noticed_before_a_write_trusts_it(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "disk"), max_dbs=DATABASES) as env:
        table = env.open_db(b"meta")
        for value in (b"x" * 30_000, b""):
            with env.begin(write=True) as txn:
                txn.put(b"key", value, db=table)
    assert read_through(tmp_path / "disk") == 0
    file = tmp_path / "disk" / "data.mdb"
    content = bytearray(file.read_bytes())
    begin = root_of_free_pages(bytes(content))
    content[begin : begin + 4096] = bytes(4096)
    file.write_bytes(content)
    assert read_through(tmp_path / "disk") != 0
