"""scripts/bench record: the last run of a benchmark becomes an entry of docs/benchmarks.md, in its own words.

An entry is what the benchmark printed, never what somebody typed. It is found again by its title: a later run with the
same title takes its place.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence

from loadtests.bench.runs import ARTIFACTS, ROOT, wrapped

PAGE = ROOT / "docs" / "benchmarks.md"
SECTIONS: Mapping[str, str] = {"lb": "The load balancer", "kv": "The store", "dispatch": "Dispatch"}
ELSE = "The whole system"
FIGURE_CHARACTERS_MAX = 600


class NotRecorded(Exception):
    """Why there is no entry."""


def figure_of(output: str, pattern: str) -> str:
    """The lines of `output` in which `pattern` is found, made one. Raises NotRecorded."""
    found = [_plain(line) for line in output.splitlines() if re.search(pattern, line)]
    figure = "; ".join(found)
    if not figure:
        raise NotRecorded(f"no line of the last run matches {pattern!r}")
    if len(figure) > FIGURE_CHARACTERS_MAX:
        raise NotRecorded(
            f"{len(found)} lines match {pattern!r}: too much for one entry, choose a narrower pattern"
        )
    return figure


def _plain(line: str) -> str:
    """Without a table's frame, with single spaces."""
    cells = [" ".join(cell.split()) for cell in re.split("[│┃]", line)]
    return ", ".join(cell for cell in cells if cell)


def entry_of(what: str, figure: str, note: Mapping[str, object]) -> str:
    """The Markdown of one entry. Raises NotRecorded for a run that failed."""
    if note["exit"] != 0:
        raise NotRecorded(f"the last run ended with exit code {note['exit']}: run {note['command']} again")
    text = wrapped(f"* **{what}**: {figure}")
    day = str(note["began"])[:10]
    return f"{text}\n  ({day}, {note['commit']}, {note['machine']};\n  `{note['command']}`)\n"


def placed(page: str, section: str, what: str, entry: str) -> str:
    """The page with `entry` in the place of the one titled `what`, or at the end of `section`. Raises NotRecorded."""
    old = re.compile(rf"^\* \*\*{re.escape(what)}\*\*:.*?\n(?=\* |\n|\Z)", re.MULTILINE | re.DOTALL)
    if old.search(page):
        return old.sub(lambda _: entry, page, count=1)
    head, mark, rest = page.partition(f"\n## {section}\n")
    if not mark:
        raise NotRecorded(f"docs/benchmarks.md has no section {section!r}")
    body, following, later = rest.partition("\n## ")
    return f"{head}{mark}{body.rstrip()}\n{entry}{following and chr(10) + following.lstrip()}{later}".replace(
        f"{mark}\n{entry}", f"{mark}\n\n{entry}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """0: recorded. 1: not, and stderr says why."""
    parser = argparse.ArgumentParser(prog="scripts/bench record", description=__doc__)
    parser.add_argument("name", help="the benchmark that was run last: lb, kv, dispatch, ...")
    parser.add_argument("--what", required=True, metavar="TITLE", help="what the figure is of")
    parser.add_argument(
        "--lines", required=True, metavar="REGEX", help="the lines of its output that are the figure"
    )
    parser.add_argument("--section", help="default: the benchmark's own")
    parsed = parser.parse_args(argv)
    folder = ARTIFACTS / parsed.name
    try:
        note = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        figure = figure_of((folder / "output.txt").read_text(encoding="utf-8"), parsed.lines)
        entry = entry_of(parsed.what, figure, note)
        section = parsed.section or SECTIONS.get(parsed.name, ELSE)
        text = placed(PAGE.read_text(encoding="utf-8"), section, parsed.what, entry)
    except FileNotFoundError as error:
        print(
            f"scripts/bench record: {error.filename} is not there: run the benchmark first", file=sys.stderr
        )
        return 1
    except NotRecorded as error:
        print(f"scripts/bench record: {error}", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    print(entry, end="")
    return 0
