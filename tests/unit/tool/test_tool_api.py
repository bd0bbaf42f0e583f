"""The tool's requests: bounded, repeated only where that changes nothing twice, and honest about what is not known."""

from __future__ import annotations

import itertools
import random
import socket
from typing import Any

import pytest

from dronedispatch.tool.api import Api, ApiAnswer
from dronedispatch.tool.errors import ApiRefused, NobodyAnswers, OutcomeNotKnown
from dronedispatch.tool.system import ResolvedTarget
from support.scripted_api import scripted


def api(url: str, timeout_s: float = 60.0) -> Api:
    """Pauses pass at once."""
    now, target = itertools.count(), ResolvedTarget(url, "secret", None, timeout_s)
    return Api(target, clock=lambda: next(now) * 0.01, sleep=lambda _s: None, rng=random.Random(1))


def place(asked: Api, **more: Any) -> ApiAnswer:
    return asked.ask("POST", "/deliveries", body=b"{}", repeatable=True, **more)


def test_a_read_is_tried_again_while_the_system_is_busy() -> None:
    with scripted(lambda n: (503, {}, {"title": "busy"}) if n < 3 else (200, {}, {"n": n})) as (url, seen):
        assert api(url).get("/figures") == {"n": 3}
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("method", "path", "shown"),
    [
        ("GET", "/zones", False),
        ("POST", "/deliveries", False),
        ("PUT", "/zones", True),
        ("POST", "/drones/d/decommission", True),
    ],
)
def test_the_token_is_shown_only_where_it_is_asked_for(method: str, path: str, shown: bool) -> None:
    with scripted(lambda _: (200, {}, {})) as (url, seen):
        api(url).ask(method, path, body=None if method == "GET" else b"{}")
    assert ("authorization" in seen[0]) is shown


def test_a_refusal_is_not_tried_again() -> None:
    with scripted(lambda _: (422, {}, {"title": "No", "detail": "weight: too much"})) as (url, seen):
        asked = api(url)
        with pytest.raises(ApiRefused, match="No: weight: too much"):
            place(asked)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "lost", [(0, {}, None), (504, {"X-Outcome": "unknown"}, {"title": "t"}), (502, {}, {"title": "t"})]
)
def test_a_lost_answer_is_asked_for_again_with_the_same_key(lost: tuple[int, dict[str, str], Any]) -> None:
    with scripted(lambda n: lost if n == 1 else (201, {}, {"id": "x"})) as (url, seen):
        answer = place(api(url), headers={"Idempotency-Key": "k"})
    assert answer.document == {"id": "x"}
    assert [one["idempotency-key"] for one in seen] == ["k", "k"]


def test_a_write_that_is_not_repeatable_is_sent_once_and_unknown() -> None:
    with scripted(lambda _: (0, {}, None)) as (url, seen), pytest.raises(OutcomeNotKnown):
        api(url).ask("PUT", "/zones", body=b"{}")
    assert len(seen) == 1


@pytest.mark.parametrize("status", [503, 412, 429])
def test_a_refusal_that_the_lost_try_may_have_escaped_or_caused_is_still_unknown(status: int) -> None:
    with scripted(lambda n: (0, {}, None) if n == 1 else (status, {}, {"title": "no"})) as (url, _):
        asked = api(url, timeout_s=1.0)
        with pytest.raises(OutcomeNotKnown, match="an earlier try"):
            place(asked)


def test_a_refusal_that_the_lost_try_met_too_is_definite() -> None:
    with scripted(lambda n: (0, {}, None) if n == 1 else (422, {}, {"title": "no"})) as (url, _):
        asked = api(url, timeout_s=1.0)
        with pytest.raises(ApiRefused):
            place(asked)


def test_nobody_there_is_a_definite_failure_that_says_what_to_type() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(NobodyAnswers, match="scripts/up"):
            place(api(url, timeout_s=0.5))


def test_a_frozen_system_takes_connections_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        asked = Api(ResolvedTarget(f"http://127.0.0.1:{frozen.getsockname()[1]}", None, None, 0.5))
        with pytest.raises(NobodyAnswers, match="says nothing"):
            asked.get("/figures")
        with pytest.raises(OutcomeNotKnown, match="doctor"):
            place(asked)


def test_somebody_elses_server_is_no_system_of_ours() -> None:
    with scripted(lambda _: (404, {}, "nothing")) as (url, _), pytest.raises(ApiRefused, match="answers 404"):
        api(url).get("/figures")
