"""The lb's access log as a watcher reads it: text or JSON lines, the newest last."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

TAIL_BYTES = 32 * 1024 * 1024  # the newest part of a long log that is looked at
_TEXT = re.compile(
    r'(?P<time>\S+) \S+ "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>-?\d+) \d+/\d+ '
    r"-?\d+/-?\d+/-?\d+/-?\d+/(?P<total_ms>-?\d+) \S+ \d+ (?P<ended>\S+) \S+\s*\Z"
)


@dataclass(frozen=True, slots=True)
class Request:
    """One line. `method` and `path` without the query; `ended`: how, "ok" is well."""

    at: datetime
    method: str
    path: str
    status: int
    total_ms: float
    ended: str

    @property
    def failed(self) -> bool:
        """The system's fault: a 5xx, or no answer at all. A client that went away is none."""
        return self.status >= 500 or (self.status <= 0 and not self.ended.startswith("client"))


def tail(path: Path) -> Iterator[str]:
    """The lines of the last TAIL_BYTES. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        if size > TAIL_BYTES:
            file.readline()  # it began in the middle of one
        for line in file:
            yield line.decode(errors="replace")


def parse(line: str) -> Request | None:
    """None for a line that is no entry."""
    if line.startswith("{"):
        try:
            found = json.loads(line)
            return _request(
                found["time"], found["request"], found["status"], found["total_ms"], found["ended"]
            )
        except (ValueError, KeyError, TypeError):
            return None
    match = _TEXT.match(line)
    if match is None:
        return None
    return _request(
        match["time"], match["request"], int(match["status"]), float(match["total_ms"]), match["ended"]
    )


def since(lines: Iterable[str], began: datetime) -> list[Request]:
    """The requests at or after `began`."""
    found = (parse(line) for line in lines)
    return [request for request in found if request is not None and request.at >= began]


def _request(at: str, line: str, status: int, total_ms: float, ended: str) -> Request | None:
    method, _, rest = line.partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    try:
        return Request(datetime.fromisoformat(at), method, path, status, total_ms, ended)
    except ValueError:
        return None
