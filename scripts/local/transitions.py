"""An order's way through the processes: the lines that those wrote who caused its transitions. Pure, but for reading files.

No import but the standard library: scripts/cluster uses it where nothing is installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

EVENT = "transition"


def transition(line: str, order: str) -> dict[str, Any] | None:
    """The fields of a line that tells a transition of this order; None for any other line."""
    if EVENT not in line or order not in line:
        return None  # most lines: nothing is decoded
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.get("event") != EVENT or fields.get("delivery_id") != order:
        return None
    return fields


def in_order(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """By the time that each process gave its line."""
    return sorted(found, key=lambda fields: str(fields.get("at", "")))


def of_order(folder: Path, order: str) -> list[dict[str, Any]]:
    """From every log of a home, those that were rotated away included."""
    found = []
    for path in sorted((*folder.glob("*.log"), *folder.glob("*.log.[0-9]*"))):
        with path.open(encoding="utf-8", errors="replace") as lines:
            found += [fields for line in lines if (fields := transition(line, order)) is not None]
    return in_order(found)


def readable(fields: dict[str, Any]) -> str:
    """One transition in one line."""
    step = f"{fields.get('from') or 'new'} -> {fields.get('to')}"
    rest = [f"drone={fields['drone_id']}"] if fields.get("drone_id") else []
    rest += [f"request={fields['request_id']}"] if fields.get("request_id") else []
    rest += [f"({fields['cause']})"] if fields.get("cause") else []
    return f"{fields.get('at')}  {fields.get('instance', '?'):<13} {step:<26} {' '.join(rest)}".rstrip()


def tell(found: list[dict[str, Any]], *, as_json: bool) -> None:
    """One line a transition on standard output."""
    for fields in found:
        print(json.dumps(fields) if as_json else readable(fields))
