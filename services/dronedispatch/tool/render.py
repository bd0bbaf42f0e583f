"""Tables for people and JSON for programs. Pure, but for the printing at the end."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {
    "delivered": "green",
    "idle": "green",
    "healthy": "green",
    "failed": "red",
    "not ready": "bold red",
    "retiring": "dim",
    "degraded": "yellow",
    "pending": "yellow",
    "cancelled": "dim",
}
_BEYOND_JSON = re.compile("[\x7f-\x9f]")  # control characters that JSON need not escape, and a terminal obeys
UNSEEN = "-"
GAP = 2  # between two columns
WIDTH_UNSEEN = 200  # of a table that no terminal shows: nothing is folded for a program that reads lines


def console() -> Console:
    """Where tables go: as wide as the terminal, or wide enough."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_UNSEEN)


def print_json(document: Any, *, line: bool = False) -> None:
    """Indented at a terminal; one line for a program, and wherever it is one of several (`line`)."""
    text = json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() and not line else None)
    print(_BEYOND_JSON.sub(lambda one: f"\\u{ord(one[0]):04x}", text), flush=True)


def plain(text: object) -> str:
    """What the system has told, without the control characters that would move the terminal's cursor."""
    return "".join(letter if letter.isprintable() else "�" for letter in str(text))


def plain_lines(text: object) -> str:
    """The same, with the text's own lines."""
    return "\n".join(map(plain, str(text).splitlines()))


def word(status: object) -> Text:
    """A status in its colour."""
    return Text(plain(status), style=COLOURS.get(str(status), ""))


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    right: Sequence[str] = (),
    *,
    fold: bool = True,
    spare: Sequence[str] = (),
    width: int = WIDTH_UNSEEN,
) -> Table:
    """A table without a frame. On a screen of `width` the columns `spare` are left out, in this order, as far as it must be,
    which is said; what is still too wide for its column is folded, or cut with an ellipsis.
    """
    gone = left_out(columns, rows, spare, width)
    kept = [at for at, name in enumerate(columns) if name not in gone]
    said = f"left out for want of width: {', '.join(gone)}" if gone else None
    made = Table(box=None, pad_edge=False, header_style="bold", caption=said, caption_justify="left")
    for name in (columns[at] for at in kept):
        made.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold" if fold else "ellipsis",
            no_wrap=not fold,
        )
    for row in rows:
        made.add_row(*(_cell(row[at]) for at in kept))
    return made


def left_out(
    columns: Sequence[str], rows: Sequence[Sequence[object]], spare: Sequence[str], width: int
) -> tuple[str, ...]:
    """Those of `spare`, from its beginning, without which a table is as wide as `width` or narrower."""
    wide = {
        name: max([len(name), *(_cell(row[at]).cell_len for row in rows)]) for at, name in enumerate(columns)
    }
    gone = 0
    while gone < len(spare) and sum(wide.values()) + GAP * (len(wide) - 1) > width:
        del wide[spare[gone]]
        gone += 1
    return tuple(spare[:gone])


def _cell(value: object) -> Text:
    return value if isinstance(value, Text) else Text(plain(value))


def pairs(rows: Sequence[tuple[str, object]]) -> Table:
    """Names and values, one a line."""
    made = Table(box=None, pad_edge=False, show_header=False)
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, _cell(value))
    return made


def place(position: object) -> str:
    """`41.89020,12.49220`, as --from takes it."""
    if not isinstance(position, Mapping):
        return UNSEEN
    return f"{float(position['lat']):.5f},{float(position['lon']):.5f}"


def number(value: object, digits: int = 0, unit: str = "") -> str:
    """A number with its unit; `-` for none."""
    if not isinstance(value, int | float):
        return UNSEEN
    return f"{value:.{digits}f}{unit}"


def clock_time(stamp: object) -> str:
    """The time of day of an RFC 3339 stamp, in UTC; `-` for none."""
    moment = moment_of(stamp)
    return UNSEEN if moment is None else f"{moment:%H:%M:%S}"


def moment_of(stamp: object) -> datetime | None:
    """The moment that an RFC 3339 stamp names."""
    try:
        return datetime.fromisoformat(str(stamp)).astimezone(UTC) if stamp else None
    except ValueError:
        return None
