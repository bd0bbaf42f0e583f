"""The order that ends scripts/try-vagrant: placed once, however often it must be asked, and followed to its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripts.local.home import CHECKOUT
from scripts.trial import order

from support.commands import ran
from support.scripted_http import ScriptedServer, scripted_server

PLACED = {"id": "d1", "status": "pending"}


@pytest.fixture
def door() -> Iterator[ScriptedServer]:
    """A server that answers from a script; nothing of it is Nomad's."""
    with scripted_server() as scripted:
        yield scripted


def test_an_accepted_order_is_followed_until_it_is_delivered(
    door: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "INTERVAL_S", 0.01)
    refusals = [{"detail": "no gateway is available", "request_id": f"a-{number}"} for number in range(2)]
    door.answers["POST", "/deliveries"] = [*((503, one) for one in refusals), (502, "Bad"), (201, PLACED)]
    door.on("GET", "/deliveries/d1", *(PLACED | {"status": one} for one in ("assigned", "delivered")))
    said: list[str] = []
    order.deliver(door.address, 20, said.append)
    assert [line.split("s  ", 1)[1] for line in said] == [
        "HTTP 503: no gateway is available",
        "HTTP 502: Bad",
        "pending",
        "assigned",
        "delivered",
    ]


@pytest.mark.parametrize(
    ("status", "deadline_s", "sentence"),
    [
        ("failed", 60, "the order ended as failed"),
        ("assigned", 0, "not delivered after 0 s; the last answer was: assigned"),
    ],
)
def test_an_order_that_is_not_delivered_is_an_error(
    door: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: str,
    deadline_s: int,
    sentence: str,
) -> None:
    monkeypatch.setattr(order, "INTERVAL_S", 0.01)
    door.on("POST", "/deliveries", PLACED | {"status": status}, status=201)
    door.on("GET", "/deliveries/d1", PLACED | {"status": status})
    assert order.main([door.address, "--deadline", str(deadline_s)]) == 1
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_the_box_explains_itself() -> None:
    done = ran([CHECKOUT / "scripts" / "trial" / "box", "--help"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: scripts/trial/box" in done.stdout
