"""Log lines never fail and never wait: what cannot be written is dropped, counted, and told when lines pass again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from dronedispatch.runtime.log_output import PIPE_CHUNK, LogOutput
from support.waiting import DEADLINE_S

LINE = "x" * 99 + "\n"


@dataclass
class Pipe:
    reader: int
    writer: int

    def output(self) -> LogOutput:
        return LogOutput(self.writer, lambda lines: f"lost {lines}")

    def read(self) -> str:
        """Everything that is in it now."""
        os.set_blocking(self.reader, False)
        found = b""
        while True:
            try:
                found += os.read(self.reader, 1 << 20)
            except BlockingIOError:
                return found.decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    one = Pipe(*os.pipe())
    yield one
    for descriptor in (one.reader, one.writer):
        try:
            os.close(descriptor)
        except OSError:
            continue


def in_time(write: object, *words: object) -> None:
    """A call that may hang for ever fails the test instead."""
    pool = ThreadPoolExecutor(max_workers=1)
    pool.submit(write, *words).result(DEADLINE_S)  # type: ignore[arg-type]
    pool.shutdown()


def filled(output: LogOutput) -> None:
    while not output.dropped:
        in_time(output.write, LINE)


def test_lines_pass_as_they_are(pipe: Pipe) -> None:
    output = pipe.output()
    output.write("one\n")
    output.write("two \ud800\n")
    output.flush()
    assert (pipe.read(), output.dropped) == ("one\ntwo \\ud800\n", 0)


def test_a_reader_that_stopped_is_not_waited_for_and_told_later_what_it_missed(pipe: Pipe) -> None:
    output = pipe.output()
    filled(output)
    for _ in range(6):
        in_time(output.write, LINE)
    before = pipe.read()
    assert set(before.splitlines(keepends=True)) == {LINE}
    output.write("again\n")
    assert (pipe.read(), output.dropped) == ("lost 7\nagain\n", 0)


def test_a_long_line_is_cut_rather_than_waited_for_and_the_next_begins_a_new_line(pipe: Pipe) -> None:
    output = pipe.output()
    long = "y" * (64 * PIPE_CHUNK) + "\n"
    in_time(output.write, long)
    cut = pipe.read()
    assert 0 < len(cut) < len(long)
    output.write("next\n")
    assert pipe.read() == "\nlost 1\nnext\n"


def test_a_reader_that_is_gone_is_no_error(pipe: Pipe) -> None:
    os.close(pipe.reader)
    output = pipe.output()
    for _ in range(3):
        output.write(LINE)
    assert output.dropped == 3


def test_a_full_disk_is_no_error_and_lines_pass_when_there_is_room(tmp_path: Path) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    output = LogOutput(descriptor, lambda lines: f"lost {lines}")
    output.write(LINE)
    output.write(LINE)
    path = tmp_path / "log"
    with path.open("wb") as room:
        os.dup2(room.fileno(), descriptor)
    output.write("again\n")
    os.close(descriptor)
    assert path.read_text() == "lost 2\nagain\n"


SERVICE = """
import os, sys, structlog
from dronedispatch.runtime import logs
logs.configure("gateway", "gateway-7")
log = structlog.get_logger()
log.info("lost")
logs.logging.getLogger("library").warning("lost as well")
os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)
log.info("next")
"""


def test_what_was_lost_is_a_line_like_the_others(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", SERVICE, str(path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=600,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    lost, following = map(json.loads, path.read_text().splitlines())
    assert lost.pop("at").endswith("Z")
    who = {"service": "gateway", "instance": "gateway-7"}
    assert lost == {"event": "log lines lost", "lines": 2, "level": "warning"} | who
    assert following["event"] == "next"
