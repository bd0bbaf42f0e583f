"""An order's way through the processes, out of their logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripts.local.home import Home
from scripts.local.logs import show_order
from scripts.local.transitions import of_order, readable, transition
from scripts.local.trouble import Trouble

ORDER, OTHER = "01M8HJ1FSJ09ENEMMVD62PE97V", "01M8HJ1AVVDDPHWMBS5P14QTW4"


def line(order: str, to: str, at: str, event: str = "transition") -> str:
    return json.dumps(
        {"event": event, "delivery_id": order, "to": to, "at": at, "instance": "x", "request_id": "r"}
    )


def test_an_orders_lines_come_from_all_logs_by_time_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "dispatcher-1.log").write_text(
        "\n".join(
            [
                line(ORDER, "delivered", "3"),
                line(OTHER, "assigned", "2"),
                line(ORDER, "x", "2", "other"),
                "no JSON",
            ]
        ),
        encoding="utf-8",
    )
    (tmp_path / "dispatcher-1.log.1").write_text(line(ORDER, "assigned", "2"), encoding="utf-8")
    (tmp_path / "gateway-1.log").write_text(line(ORDER, "pending", "1"), encoding="utf-8")
    assert [fields["to"] for fields in of_order(tmp_path, ORDER)] == ["pending", "assigned", "delivered"]


def test_half_a_line_is_passed_over() -> None:
    assert transition(line(ORDER, "pending", "1")[:-5], ORDER) is None


def test_a_transition_is_readable() -> None:
    fields = {
        "at": "T",
        "instance": "gateway-1",
        "from": "pending",
        "to": "cancelled",
        "request_id": "r",
        "cause": "why",
    }
    assert readable(fields).split() == ["T", "gateway-1", "pending", "->", "cancelled", "request=r", "(why)"]


def test_an_order_that_no_log_knows_is_told(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.logs.mkdir()
    with pytest.raises(Trouble, match=ORDER):
        show_order(home, ORDER, as_json=False)
