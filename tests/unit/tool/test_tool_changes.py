"""What the tool says of changes to orders: done, not done and unknown are told apart, and the way back is named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from dronedispatch.tool import orders
from dronedispatch.tool.api import Api
from dronedispatch.tool.app import main
from dronedispatch.tool.system import ResolvedTarget
from support.scripted_api import Script, scripted

Types = Callable[..., tuple[list[str], list[str]]]
Answer = tuple[int, dict[str, str], Any]
LOST: Answer = (504, {"X-Outcome": "unknown"}, {"title": "no word", "detail": "the store is silent"})
MOVED: Answer = (412, {}, {"title": "It has changed"})
PENDING: Answer = (200, {"ETag": '"7"'}, {"id": "B", "priority": 3, "deadline": None})


@pytest.fixture(autouse=True)
def pauses_pass_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def sleep(pause_s: float) -> None:
        now[0] += pause_s

    def quick(system: ResolvedTarget) -> Api:
        return Api(system, clock=lambda: now[0], sleep=sleep, rng=random.Random(1))

    monkeypatch.setattr(orders, "Api", quick)


@pytest.fixture
def types(capsys: pytest.CaptureFixture[str]) -> Types:
    """Types a command of `orders` at a scripted system: what it printed and what it said on standard error, line by line."""

    def typed(answers: Script, *words: str, code: int) -> tuple[list[str], list[str]]:
        with scripted(answers) as (url, _):
            assert main(["orders", *words, "--url", url]) == code
        said = capsys.readouterr()
        return said.out.splitlines(), [line.replace(url, "URL") for line in said.err.splitlines()]

    return typed


def cancelled(order: str) -> Answer:
    return 200, {}, {"id": order, "status": "cancelled"}


def test_of_several_an_unknown_outcome_is_no_failure(types: Types) -> None:
    printed, said = types(lambda n: cancelled("A") if n == 1 else LOST, "cancel", "A", "B", code=4)
    assert printed == ["A cancelled"]
    assert said == [
        "B: unknown whether order B was cancelled: the store is silent",
        "look with: dronedispatch orders get B --url URL, or type the same again: it is safe",
    ]


def test_of_several_a_refusal_is_told_line_by_line(types: Types) -> None:
    said = {"title": "Too late", "detail": "it is on board\x1b[2J", "status_now": "in-progress"}
    refusal: Answer = (409, {}, said)
    printed, told = types(lambda n: refusal if n == 1 else cancelled("B"), "cancel", "A", "B", code=1)
    assert printed == ["B cancelled"]
    assert told == ["A not done: Too late: it is on board�[2J", "  it is in-progress now"]


def test_one_unknown_outcome_outweighs_every_failure(types: Types) -> None:
    refusal: Answer = (409, {}, {"title": "Too late"})
    _, said = types(lambda n: refusal if n == 1 else LOST, "cancel", "A", "B", code=4)
    assert [line.split(" ", 2)[1] for line in said[:2]] == ["not", "unknown"]


def test_an_unknown_change_names_the_way_back(types: Types) -> None:
    _, said = types(lambda n: PENDING if n == 1 else LOST, "priority", "8", "B", code=4)
    assert said[0] == (
        "dronedispatch: unknown whether the priority of order B was changed from 3 to 8: the store is silent"
    )


def test_a_change_is_made_only_to_what_was_read(types: Types) -> None:
    printed, said = types(lambda n: PENDING if n % 2 else MOVED, "deadline", "none", "B", code=1)
    assert printed == []
    assert said == [
        "dronedispatch: order B changed 5 times while its deadline was being set: nothing was done. Type the same again"
    ]


def test_a_change_to_an_order_that_moved_on_tells_from_what_it_was_changed(types: Types) -> None:
    newer: Answer = (200, {}, {"id": "B", "priority": 5})
    after: Answer = (200, {}, {"id": "B", "priority": 8})
    answers = {1: PENDING, 2: MOVED, 3: newer, 4: after}
    printed, _ = types(lambda n: answers[n], "priority", "8", "B", code=0)
    assert printed == ["B priority 5 -> 8"]


def test_a_version_that_the_lost_try_may_itself_have_made_is_unknown(types: Types) -> None:
    answers = {1: PENDING, 2: LOST}
    _, said = types(lambda n: answers.get(n, MOVED), "priority", "8", "B", code=4)
    assert said[0].endswith("from 3 to 8: an earlier try may have been carried out; then: It has changed")


def test_no_line_for_a_program_holds_what_a_terminal_obeys(types: Types) -> None:
    steps = [{"at": None, "to": "delivered", "drone_id": None, "cause": "a\x9b2J"}]
    order = {"id": "A", "status": "delivered", "history": steps}
    both, _ = types(lambda _: (200, {}, order), "cancel", "A", "B", "-o", "json", code=0)
    watched, _ = types(lambda _: (200, {}, order), "watch", "A", "-o", "json", code=0)
    assert [json.loads(line) for line in both] == [order, order]
    assert [json.loads(line) for line in watched] == [{"delivery_id": "A", **steps[0]}]
    assert "\x9b" not in "".join(both + watched)


def test_no_line_for_people_holds_what_a_terminal_obeys(types: Types) -> None:
    steps = [{"at": None, "to": "delivered\x9b", "drone_id": "d\x1b", "cause": "c"}]
    order = {"id": "A\x9b", "status": "delivered", "history": steps, "drone_id": "d\x1b"}
    placing = ("place", "--from", "1,2", "--to", "1,2", "--weight", "1")
    commands = (("cancel", "A", "B"), ("watch", "A"), placing)
    lines = [line for words in commands for line in types(lambda _: (200, {}, order), *words, code=0)[0]]
    assert len(lines) == 4
    assert not any(letter in "".join(lines) for letter in "\x9b\x1b")
