"""An operator changes one order, or several, by the tool, at a gateway on memory twins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dronedispatch.tool.api import Api
from dronedispatch.tool.app import main
from support.aside import aside
from support.quiet_town import quiet_town

TRIP = ("--from", "41.87,12.49", "--to", "41.91,12.53", "--weight", "1")
NEVER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with aside(quiet_town) as (_, address):
        yield address


class Tool:
    """Types, and keeps what is printed."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._at = ("--url", url, "--timeout", "60")
        self._capsys = capsys
        self.errors = ""

    def types(self, *words: str, code: int = 0) -> list[str]:
        assert main([*words, *self._at]) == code
        said = self._capsys.readouterr()
        self.errors = said.err
        return said.out.splitlines()

    def documents(self, *words: str) -> list[Any]:
        return [json.loads(line) for line in self.types(*words, "-o", "json")]

    def places(self) -> str:
        return self.types("orders", "place", *TRIP)[0].split()[0]


@pytest.fixture
def tool(url: str, capsys: pytest.CaptureFixture[str]) -> Tool:
    return Tool(url, capsys)


def test_several_orders_are_changed_with_a_line_each_that_says_the_way_back(tool: Tool) -> None:
    both = [tool.places(), tool.places()]
    assert tool.types("orders", "priority", "7", *both) == [f"{one} priority 0 -> 7" for one in both]
    assert tool.types("orders", "priority", "0", both[0]) == [f"{both[0]} priority 7 -> 0"]
    moment = "2030-05-01T12:00:00.000Z"
    assert tool.types("orders", "deadline", moment, *both) == [
        f"{one} deadline none -> {moment}" for one in both
    ]
    assert tool.types("orders", "deadline", "none", both[0]) == [f"{both[0]} deadline {moment} -> none"]
    changed = tool.documents("orders", "priority", "1", *both)
    assert [(one["priority"], one["deadline"]) for one in changed] == [(1, None), (1, moment)]
    assert tool.types("orders", "cancel", *both) == [f"{one} cancelled" for one in both]


def test_one_that_is_refused_keeps_no_other_from_being_done(tool: Tool) -> None:
    order = tool.places()
    assert tool.types("orders", "cancel", NEVER, order, code=1) == [f"{order} cancelled"]
    [said] = tool.errors.splitlines()
    assert said.startswith(f"{NEVER} not done: ")
    assert tool.types("orders", "priority", "3", order, code=1) == []
    assert "cancelled" in tool.errors


def test_a_change_tells_what_it_was_though_it_changed_after_it_was_read(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, change = tool.places(), Api.change
    others = iter([b'{"priority": 5}'])

    def late(api: Api, path: str, *rest: Any) -> Any:
        for body in others:
            api.ask("POST", f"/deliveries/{order}/priority", body=body)
        return change(api, path, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Api, "change", late)
        assert tool.types("orders", "priority", "7", order) == [f"{order} priority 5 -> 7"]


def test_a_value_that_the_system_refuses_is_told_by_its_field(tool: Tool) -> None:
    order = tool.places()
    for name, value in (("priority", "12"), ("deadline", "tomorrow")):
        assert tool.types("orders", name, value, order, code=1) == []
        assert name in tool.errors
    assert tool.types("orders", "priority", "high", order, code=2) == []
    assert len(tool.errors.splitlines()) == 1


def test_an_order_is_found_by_the_beginning_of_its_id(tool: Tool) -> None:
    order = tool.places()
    listed = json.loads("".join(tool.types("orders", "list", "--prefix", order[:22], "-o", "json")))
    assert order in {one["id"] for one in listed}
    assert tool.types("orders", "list", "--prefix", NEVER[:22]) == ["no order is like that"]
