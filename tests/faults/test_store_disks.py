"""Disks that are damaged, copied, or lost with everything: what the replicas make of them, and what an operator types."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.store_faults import wait_whole
from support.store_parts import Store, running_store
from support.waiting import wait_until

pytestmark = pytest.mark.real

VALUES = 60


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with running_store(tmp_path / "store") as made:
        lines = "".join(f'{{"key": "key{number}", "value": "value {number}"}}\n' for number in range(VALUES))
        (tmp_path / "values.jsonl").write_text(lines)
        made.kvctl("import", str(tmp_path / "values.jsonl"))
        yield made


def everything_is_there(store: Store) -> bool:
    return all(store.get("f1", f"/kv/key{number}") == f"value {number}".encode() for number in range(VALUES))


def damage(path: Path, *, places: int, seed: int) -> None:
    """32 random bytes at so many places of the file, beyond its first two pages."""
    rng, size = random.Random(seed), path.stat().st_size
    with path.open("r+b") as file:
        for _ in range(places):
            file.seek(rng.randrange(8_192, size - 32))
            file.write(rng.randbytes(32))


def stop_all(store: Store) -> None:
    for name in store.data:
        store.parts[name].stop(signal.SIGKILL)


def test_a_replica_with_damaged_pages_sets_them_aside_and_joins_anew(store: Store) -> None:
    for seed in range(3):
        store.parts["r2"].stop(signal.SIGTERM)
        damage(store.data["r2"] / "data.mdb", places=400, seed=seed)
        store.parts["r2"].start()
        wait_whole(store)
        wait_until(lambda: everything_is_there(store), "every value is read", 10)
    log = (store.folder / "r2.log").read_text()
    assert "set aside" in log
    assert "Traceback" not in log
    assert (store.data["r2"] / "set-aside" / "reason").exists()


def test_a_home_that_was_copied_whole_says_so_and_is_adopted_by_one_command(store: Store) -> None:
    stop_all(store)
    for folder in store.data.values():
        shutil.copytree(folder, folder.with_name(f"{folder.name}.copy"), symlinks=True)
        shutil.rmtree(folder)
        folder.with_name(f"{folder.name}.copy").rename(folder)
    store.start_parts(*store.data)
    wait_until(
        lambda: all(store.state(name).get("was") for name in store.data), "the copies know what they are", 20
    )
    assert store.get("f1", "/kv/key1") is None
    assert "kvctl adopt" in store.kvctl("recover", code=3)
    wait_until(
        lambda: b"kvctl adopt" in (store.get("f1", "/health") or b""), "the coordinator says it, too", 20
    )
    store.kvctl("adopt")
    wait_until(lambda: everything_is_there(store), "every value is read", 20)
    wait_whole(store)
    assert "nothing to recover" in store.kvctl("recover")
    assert "agree" in store.kvctl("verify")


def test_a_backup_of_a_running_store_is_restored_into_an_empty_one(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "store.backup"
    store.kvctl("backup", str(file))
    assert "is there already" in store.kvctl("backup", str(file), code=1)
    assert "restore into an empty one" in store.kvctl("restore", str(file), code=1)
    store.kvctl("delete", "key7")
    store.kvctl("restore", str(file), "--missing")
    assert everything_is_there(store)
    with running_store(tmp_path / "other", replicas=2, fronts=1) as empty:
        empty.kvctl("restore", str(file))
        assert everything_is_there(empty)
    file.write_bytes(file.read_bytes().replace(b"value 7", b"value 8", 1))
    assert "was cut or changed" in store.kvctl("restore", str(file), "--missing", code=1)


def test_the_view_deleted_and_slots_without_a_copy_are_told_with_what_to_type(store: Store) -> None:
    assert b'"health":"healthy"' in (store.get("f1", "/health") or b"")
    for name in ("r2", "r3"):
        store.parts[name].stop(signal.SIGKILL)
    wait_until(lambda: b"slots_lost" in (store.get("f1", "/health") or b""), "lost slots are told", 30)
    assert "have no copy that answers" in store.kvctl("view")
    assert "--accept-loss" in store.kvctl("recover", "--without-all", code=3)
    store.start_parts("r2", "r3")
    wait_whole(store)
    wait_until(lambda: b'"health":"healthy"' in (store.get("f1", "/health") or b""), "healthy again", 20)
    store.delete_view()
    wait_until(lambda: b"view_missing" in (store.get("f1", "/health") or b""), "the missing view is told", 20)
    assert "recovered" in store.kvctl("recover")
    wait_until(lambda: b'"health":"healthy"' in (store.get("f1", "/health") or b""), "healthy again", 20)
