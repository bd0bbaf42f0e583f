"""How the tool ends: nothing that it has started goes on without it, and no closed input is a traceback."""

from __future__ import annotations

import contextlib
import errno
import http.client
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripts.local import leftovers
from scripts.local.home import CHECKOUT

from dronedispatch.runtime.home import HomeFound
from dronedispatch.tool import events, orders, top, zones
from dronedispatch.tool.api import Api
from dronedispatch.tool.errors import NobodyAnswers, OutcomeNotKnown, ToolError
from dronedispatch.tool.sse import EventParser
from dronedispatch.tool.system import ResolvedTarget, Target
from support.commands import ran
from support.scripted_api import scripted
from support.waiting import wait_until

TOOL = str(CHECKOUT / ".venv" / "bin" / "dronedispatch")
WITHIN_S = 300


def test_whoever_ends_it_ends_the_script_that_it_has_become(tmp_path: Path) -> None:
    """Not the terminal, which tells all of them: a supervisor that ends one process."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "lb-1.log").write_text("serving\n", encoding="utf-8")
    mark = f"DD_TEST_TOOL={tmp_path}"
    with subprocess.Popen(
        [TOOL, "logs", "--follow", "--home", str(tmp_path)],
        env={**os.environ, "DD_TEST_TOOL": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"serving\n"
            child.terminate()
            assert child.wait(WITHIN_S) == 130
            wait_until(lambda: not leftovers.pids_with(mark), "nothing of it runs", 10)
        finally:
            leftovers.end_with(mark)


def test_a_city_is_read_from_standard_input() -> None:
    done = ran([TOOL, "zones", "diff", "-", "--url", "http://127.0.0.1:9", "--timeout", "1"], typed="[]")
    assert done.returncode == 2
    assert done.stderr.startswith("dronedispatch: - is no GeoJSON FeatureCollection")


def test_a_city_from_a_closed_input_is_one_sentence() -> None:
    done = ran(["sh", "-c", f"'{TOOL}' zones diff - --url http://127.0.0.1:9 <&-"])
    assert done.returncode == 2
    assert done.stderr == "dronedispatch: - cannot be read: standard input is closed\n"


def test_a_live_picture_needs_no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()

    def look(_api: Api) -> top.Glance:
        if next(looks):
            raise KeyboardInterrupt
        return top.Glance({}, {}, [], [])

    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setattr(top, "look", look)
    monkeypatch.setattr(top, "picture", lambda *_: "")
    with pytest.raises(KeyboardInterrupt):
        top._live(Api(ResolvedTarget("http://h", None, None, 1.0)), 0.0)


CITY = {"type": "FeatureCollection", "features": []}


@pytest.fixture
def city() -> Iterator[Target]:
    with scripted(lambda _: (200, {"ETag": '"3"'}, CITY)) as (url, _):
        yield Target(url=url)


def test_a_city_that_is_written_to_a_file_leaves_the_neighbours_alone(tmp_path: Path, city: Target) -> None:
    file, neighbour, link = tmp_path / "rome", tmp_path / "rome.new", tmp_path / "link"
    neighbour.write_text("theirs", encoding="utf-8")
    link.symlink_to(file)
    assert zones.get(file=link, target=city) == 0
    assert json.loads(file.read_bytes()) == CITY
    assert neighbour.read_text(encoding="utf-8") == "theirs"
    assert sorted(tmp_path.iterdir()) == sorted([file, neighbour, link])
    assert link.is_symlink()


def test_a_city_that_cannot_be_written_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, city: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ToolError, match="cannot be written: Is a directory"):
        zones.get(file=Path("."), target=city)
    file = tmp_path / "rome"
    file.write_text("before", encoding="utf-8")

    def full(_beside: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ToolError, match="cannot be written: No space left"):
        zones.get(file=file, target=city)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text(encoding="utf-8") == "before"


def test_a_pipe_is_written_to_and_not_replaced(city: Target) -> None:
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as end:
        assert zones.get(file=Path(f"/dev/fd/{writing}"), target=city) == 0
        os.close(writing)
        assert json.load(end) == CITY


def test_the_way_to_follow_on_names_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = HomeFound(tmp_path, "127.0.0.1", 9000)
    api = Api(ResolvedTarget("http://h", None, home, 1.0))

    def away(*_: object) -> None:
        raise NobodyAnswers("nobody answers")

    now_s = itertools.count(0.0, 30.0)
    clock = SimpleNamespace(monotonic=lambda: next(now_s), sleep=lambda _s: None)
    monkeypatch.setattr(events, "time", clock)
    monkeypatch.setattr(Api, "opened", away)
    with pytest.raises(ToolError, match=rf"dronedispatch events --home {tmp_path} --after 3-1$"):
        events._Follower(api, "delivery", Target(), None, None).run("3-1")
    monkeypatch.setattr(orders, "found", lambda _target: api)
    monkeypatch.setattr(orders, "time", clock)
    steps = iter([{"id": "A", "status": "pending", "history": [STEP]}])

    def get(_api: Api, _path: str) -> object:
        for step in steps:
            return step
        raise NobodyAnswers("nobody answers")

    monkeypatch.setattr(Api, "get", get)
    monkeypatch.setattr(orders, "Api", lambda _found: api)
    with pytest.raises(ToolError, match=rf"dronedispatch orders watch A --home {tmp_path}$"):
        orders.watch("A", within=3600.0)


STEP = {"at": "2030-01-01T00:00:00Z", "to": "pending", "drone_id": None, "cause": ""}


def test_a_refusal_of_the_stream_that_breaks_off_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks_off(_bytes: int) -> bytes:
        raise http.client.IncompleteRead(b"")

    @contextlib.contextmanager
    def opened(*_: object) -> Iterator[object]:
        yield SimpleNamespace(status=503, read=breaks_off), SimpleNamespace(sock=None)

    monkeypatch.setattr(Api, "opened", opened)
    api = Api(ResolvedTarget("http://h", None, None, 1.0))
    follower = events._Follower(api, "delivery", Target(), None, None)
    with pytest.raises(OutcomeNotKnown, match="broke"):
        follower._read(EventParser())


def test_json_that_is_no_document_is_somebody_elses() -> None:
    with scripted(lambda _: (200, {}, [1])) as (url, _), pytest.raises(ToolError, match="no DroneDispatch"):
        Api(ResolvedTarget(url, None, None, 10.0)).get("/figures")
