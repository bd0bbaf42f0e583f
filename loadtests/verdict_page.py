"""The verdict as Locust's users see it: the rows of a tab, and the top of the HTML report."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

from loadtests import slo

COLUMNS = (("name", "Promise"), ("measured", "Measured"), ("threshold", "Threshold"), ("verdict", "Verdict"))
RUNNING = "so far; orders are judged by their stored timestamps when the test stops"
COLOURS = {"ok": "#1b7f3b", "VIOLATED": "#b3261e", "INVALID": "#8a4b00", "no verdict": "#5f6368"}


def rows(sentence: str, lines: Sequence[slo.Line]) -> list[dict[str, str]]:
    """The tab's table: the verdict first, then a row for each threshold."""
    word = "not yet" if sentence == RUNNING else _word(lines)
    cells = [("Verdict", sentence, "", word)]
    cells += [(line.name, line.measured, line.threshold, line.word) for line in lines]
    return [dict(zip((key for key, _ in COLUMNS), row, strict=True)) for row in cells]


def with_verdict(report: str, sentence: str, lines: Sequence[slo.Line]) -> str:
    """Locust's HTML report with the verdict above it."""
    body = "".join(_row(line) for line in lines)
    heads = "".join(
        f"<th style='text-align:left;padding:4px 16px 4px 0'>{title}</th>" for _, title in COLUMNS
    )
    section = (
        "<section id='slo-verdict' style='font:15px/1.5 sans-serif;padding:16px 24px;background:#fff;color:#1f1f1f'>"
        f"<h2 style='margin:0 0 8px'>SLO verdict: <span style='color:{COLOURS[_word(lines)]}'>"
        f"{html.escape(sentence)}</span></h2>"
        f"<table style='border-collapse:collapse'><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></section>"
    )
    return re.sub(
        r"<body[^>]*>(?!.*<body)", lambda found: found[0] + section, report, count=1, flags=re.DOTALL
    )


def add_to_file(path: Path, since_ns: int, sentence: str, lines: Sequence[slo.Line]) -> bool:
    """Put the verdict into the report that `--html` wrote; False: Locust wrote none since `since_ns`. Raises OSError."""
    try:
        written_ns = path.stat().st_mtime_ns
    except FileNotFoundError:
        return False
    if written_ns < since_ns:
        return False  # of an earlier test
    path.write_text(with_verdict(path.read_text(encoding="utf-8"), sentence, lines), encoding="utf-8")
    return True


def _word(lines: Sequence[slo.Line]) -> str:
    words = {line.word for line in lines} or {"no verdict"}
    return next((one for one in ("INVALID", "VIOLATED", "no verdict") if one in words), "ok")


def _row(line: slo.Line) -> str:
    cells = (line.name, line.measured, line.threshold)
    plain = "".join(f"<td style='padding:4px 16px 4px 0'>{html.escape(cell)}</td>" for cell in cells)
    return f"<tr>{plain}<td style='color:{COLOURS[line.word]};font-weight:600'>{line.word}</td></tr>"
