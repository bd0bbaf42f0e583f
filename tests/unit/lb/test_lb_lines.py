"""What is written: answers, log lines, settings' errors."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dronedispatch.lb.core.access import Access, Stamp, as_json, as_text
from dronedispatch.lb.core.answers import client_head, own_answer
from dronedispatch.lb.settings import from_environment
from dronedispatch.runtime.settings import SettingsError


def access(request: str) -> Access:
    return Access("t", "c", request, 200, 1, 2, 3, 4, 5, 6, 7, "g", 1, "ok", "id")


@settings(report_multiple_bugs=False)  # one failure, not a group of them
@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_no_request_can_break_a_line_or_leave_its_quotes(request: str) -> None:
    line = as_text(access(request)).decode()
    assert line.count("\n") == 1
    assert re.fullmatch(r't c "(?:[^"\\]|\\.)*" 200 1/2 3/4/5/6/7 g 1 ok id\n', line)
    assert json.loads(as_json(access(request)))["request"] == request


def test_the_text_line_is_what_the_manual_says() -> None:
    assert as_text(access("GET / HTTP/1.1")) == b't c "GET / HTTP/1.1" 200 1/2 3/4/5/6/7 g 1 ok id\n'


DATE = b"Thu, 01 Jan 1970 00:00:01 GMT"
OTHER_DATE = b"Fri, 02 Jan 1970 00:00:00 GMT"


def test_a_date_header_is_an_http_date() -> None:
    stamp = Stamp()
    assert [stamp.date(at_s) for at_s in (1.9, 86_400.0)] == [DATE, OTHER_DATE]


def test_the_stamp_is_utc_with_milliseconds() -> None:
    stamp = Stamp()
    first = ["1970-01-01T00:00:00.250Z", "1970-01-01T00:00:00.999Z"]
    assert [stamp.of(at_s) for at_s in (0.25, 0.999, 86_400.0)] == [*first, "1970-01-02T00:00:00.000Z"]


def test_our_own_answer_is_a_problem_document() -> None:
    answer = own_answer(503, "no gateway", b"id-1", close=True, retry_after_s=1, date=DATE)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json")
    assert b"\r\nretry-after: 1\r\n" in head
    assert b"\r\nconnection: close\r\n" in head
    said = {"detail": "no gateway", "request_id": "id-1"}
    assert json.loads(body) == {"type": "about:blank", "title": "Service Unavailable", "status": 503, **said}


def test_our_own_answer_to_head_has_the_length_and_no_body() -> None:
    assert own_answer(503, "x", b"", close=False, head_only=True, date=DATE).endswith(b"\r\n\r\n")


def answered(headers: list[tuple[bytes, bytes]], body_bytes: int | None) -> bytes:
    """The head that a client gets of a gateway's 200; one without a length is chunked."""
    framing: dict[str, Any] = {
        "body_bytes": body_bytes,
        "chunked": body_bytes is None,
        "declared_only": False,
    }
    return client_head(200, headers, **framing, connection=b"", request_id=b"i", date=DATE)


def test_headers_that_an_upstreams_connection_names_end_here() -> None:
    named = [(b"connection", b"close, X-Gone"), (b"x-gone", b"1"), (b"x-here", b"2")]
    head = answered([*named, (b"transfer-encoding", b"chunked")], None)
    kept = b"x-here: 2\r\ntransfer-encoding: chunked\r\ndate: %b\r\nx-request-id: i" % DATE
    assert head == b"HTTP/1.1 200 OK\r\n" + kept + b"\r\n\r\n"


@pytest.mark.parametrize(("said", "dates"), [([], [DATE]), ([(b"date", OTHER_DATE)], [OTHER_DATE])])
def test_every_answer_has_one_date_the_gateways_own_if_it_said_one(
    said: list[tuple[bytes, bytes]], dates: list[bytes]
) -> None:
    assert re.findall(rb"\r\ndate: ([^\r]+)", answered(said, 0)) == dates


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LB_TOTAL_S", "1"),
        ("LB_IDLE_S", "120"),
        ("LB_HEAD_S", "0"),
        ("LB_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("LB_RATE_PER_S", "-1"),
        ("LB_CLIENT_RATE_BURST", "x"),
        ("LB_PROCESSES", "0"),
        ("LB_CONTROL_PORT", "70000"),
        ("LB_BALANCE", "random"),
        ("LB_GATEWAYS", "10.0.0.1"),
        ("LB_GATEWAYS", "10.0.0.1:80,:81"),
        ("LB_GATEWAYS", "10.0.0.1:http"),
        ("LB_TYPO", "1"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match="LB_"):
        from_environment({variable: value})


def test_each_of_several_processes_gets_its_share_of_the_limits() -> None:
    settings = from_environment({"LB_RATE_PER_S": "100", "LB_SHARE_OF": "4", "LB_CLIENT_RATE_PER_S": "8"})
    rates = settings.global_rate(), settings.client_rate()
    assert [rate.per_s for rate in rates if rate] == [25.0, 2.0]
