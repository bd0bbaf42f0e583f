"""Each rule of the door, switched off: a test of the suite must turn red, so that no rule can be lost unnoticed."""

from __future__ import annotations

import pytest

from dronedispatch.testing.peer import OK, always
from support.lb_switches import REQUESTS
from support.lb_switches_bounds import BOUNDS
from support.lb_switches_framing import FRAMING
from support.lb_wire import door_before
from support.rule_switches import Switch, must_turn_red

pytestmark = pytest.mark.virtual_time

RULES = (*FRAMING, *REQUESTS, *BOUNDS)
CHUNKED = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
ORDINARY = (
    b"GET /g HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    CHUNKED,
)


@pytest.mark.filterwarnings(
    "ignore:unclosed:ResourceWarning"
)  # a test that fails half-way leaves its connection
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("switch", RULES, ids=lambda switch: switch.name)
async def test_without_its_rule_a_test_turns_red(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    switch.off(monkeypatch)
    await must_turn_red(switch)


@pytest.mark.parametrize(
    "off", {switch.off: switch for switch in RULES}.values(), ids=lambda switch: switch.name
)
async def test_a_switch_takes_its_rule_and_nothing_else(off: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ordinary requests are served as before: a red that comes from a broken door proves nothing."""
    seen: list[tuple[bytes, bytes]] = []
    off.off(monkeypatch)
    async with door_before(always(OK, seen)) as door:
        answers = [await door.exchange(request) for request in ORDINARY]
    assert [answer.split()[1] for answer in answers] == [b"200"] * 3
    assert [body for _, body in seen] == [b"", b"abc", b"abc"]
