"""A replica whose directory cannot be used says so in one sentence; what is noted beside its files keeps it from nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from dronedispatch.kvstore import app
from dronedispatch.kvstore.app import ReplicaServer
from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.disk import DiskRefused, open_disk
from dronedispatch.kvstore.engine import Bounds, Engine, FatalDisk
from dronedispatch.kvstore.set_aside import CLOSED_FILE, FOLDER, MARK_FILE, before_open
from dronedispatch.kvstore.settings import Settings
from dronedispatch.kvstore.txn import DiskFull
from dronedispatch.runtime.health import Facts
from dronedispatch.runtime.settings import ProcessSettings
from dronedispatch.runtime.web import ServiceProcess


def test_a_directory_that_cannot_be_made_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    settings = Settings(data_dir=tmp_path / "file" / "disk")
    process = ServiceProcess("kvstore", ProcessSettings(), lambda: None, Facts)
    with pytest.raises(DiskRefused, match="file/disk: Not a directory"):
        ReplicaServer(settings, process)


@pytest.mark.parametrize("error", [FatalDisk("input/output error"), DiskFull("no room for the journal")])
def test_a_disk_that_fails_at_the_start_is_refused_and_let_go(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_words: object, **_options: object) -> Engine:
        raise error

    monkeypatch.setattr(app, "Engine", fails)
    with pytest.raises(DiskRefused, match=str(error)):
        app.open_engine(
            Settings(data_dir=tmp_path / "disk"),
            AnswerCache(items_max=10, bytes_max=10_000),
            Bounds(),
            threaded=True,
        )
    closed_disk(tmp_path / "disk")  # nobody holds it


def closed_disk(path: Path) -> Path:
    Engine(open_disk(path), AnswerCache(items_max=10, bytes_max=10_000), Bounds(0, 100, 10_000)).close()
    return path


@pytest.mark.real
def test_a_note_that_is_garbage_makes_a_file_suspicious_and_ends_no_start(tmp_path: Path) -> None:
    path = closed_disk(tmp_path / "disk")
    (path / CLOSED_FILE).write_bytes(b"\xff\xfe garbage")
    before_open(path)
    assert not (path / FOLDER).exists()


def test_a_mark_that_is_garbage_is_a_mark(tmp_path: Path) -> None:
    path = closed_disk(tmp_path / "disk")
    (path / MARK_FILE).write_bytes(b"\xff\xfe garbage")
    before_open(path)
    assert (path / FOLDER / "data.mdb").exists()
