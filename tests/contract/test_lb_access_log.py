"""The access log: a line a request, in the file that has the name now, and a count of what was not written."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from dronedispatch.lb.access_log import AccessLog
from dronedispatch.lb.app import create_app
from dronedispatch.lb.settings import from_environment
from dronedispatch.runtime.serve import CannotListen
from dronedispatch.testing.door import open_door, with_settings
from dronedispatch.testing.peer import OK, always, peer
from support.lb_wire import GET, POST
from support.waiting import until


@pytest.mark.virtual_time
async def test_the_access_log_has_one_line_a_request_and_follows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    settings = with_settings(access_log_format="json")
    async with peer(always(OK)) as gateway, open_door([gateway.port], settings, log) as door:
        await door.exchange(POST)
        await door.exchange(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        await until(lambda: path.exists() and path.read_bytes().count(b"\n") == 2, "two lines")
        moved = path.rename(tmp_path / "old.log")
        log.reopen()
        await door.exchange(GET)
        await until(lambda: path.exists() and path.read_bytes().count(b"\n") == 1, "a line in the new file")
    log.close()
    first, second = (json.loads(line) for line in moved.read_bytes().splitlines())
    assert (first["request"], first["status"], first["bytes_in"], first["bytes_out"]) == (
        "POST /x HTTP/1.1",
        200,
        3,
        2,
    )
    assert (first["upstream"], first["tries"], first["ended"]) == ("g0", 1, "ok")
    assert (second["status"], second["ended"]) == (400, "refused")


async def test_lines_that_a_full_disk_refuses_are_counted() -> None:
    log = AccessLog("/dev/full")
    log.add(b"one\n")
    log.add(b"two\n")
    log.close()
    assert log.lost == 2


async def test_a_line_that_was_cut_short_does_not_take_the_next_one_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write, full = tmp_path / "access.log", os.write, [True]

    def half(fd: int, data: bytes) -> int:
        if not full[0]:
            return write(fd, data)
        if len(data) <= 2:
            raise OSError(errno.ENOSPC, "no space left")
        return write(fd, data[: len(data) - 2])

    monkeypatch.setattr("dronedispatch.lb.access_log.os.write", half)
    log = AccessLog(str(path))
    log.add(b"first\n")
    await until(lambda: log.lost == 1, "the first line is cut short")
    full[0] = False
    log.add(b"second\n")
    log.close()
    assert path.read_bytes() == b"firs\nsecond\n"


async def test_a_path_that_cannot_be_opened_again_at_once_is_opened_as_soon_as_it_can(tmp_path: Path) -> None:
    folder, moved = tmp_path / "logs", tmp_path / "moved"
    folder.mkdir()
    log = AccessLog(str(folder / "access.log"))
    folder.rename(moved)
    log.reopen()
    log.add(b"first\n")
    await until(lambda: (moved / "access.log").read_bytes() == b"first\n", "the old file goes on")
    folder.mkdir()
    log.add(b"second\n")
    log.close()
    assert (folder / "access.log").read_bytes() == b"second\n"


def test_a_log_that_cannot_be_opened_is_one_sentence_that_names_the_variable(tmp_path: Path) -> None:
    settings = from_environment({"LB_PORT": "0", "LB_ACCESS_LOG": str(tmp_path / "nowhere" / "access.log")})
    with pytest.raises(CannotListen, match="LB_ACCESS_LOG"):
        create_app(settings)
