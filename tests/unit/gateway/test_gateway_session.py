"""The session of an operator's browser: what proves it, how long it holds, and where it counts."""

from __future__ import annotations

import pytest

from dronedispatch.gateway.core.session import (
    SESSION_S,
    cookie,
    new_session,
    session_until,
    why_no_cookie,
    why_no_session_here,
)

NOW_S = 1_800_000_000.0
NONCE = "0123456789abcdef" * 2


def test_a_session_holds_for_its_life_and_not_a_second_longer() -> None:
    value, until_s = new_session("token", NOW_S, NONCE)
    assert until_s == NOW_S + SESSION_S
    assert session_until(value, ["token"], NOW_S) == until_s
    assert session_until(value, ["token"], until_s - 1) == until_s
    assert session_until(value, ["token"], until_s) is None


def test_rotating_the_token_keeps_its_sessions_while_the_old_one_is_taken_and_ends_them_then() -> None:
    value, until_s = new_session("old", NOW_S, NONCE)
    assert session_until(value, ["new", "old"], NOW_S) == until_s
    assert session_until(value, ["new"], NOW_S) is None
    assert session_until(value, [], NOW_S) is None


def _other(value: str, at: int) -> str:
    return value[:at] + ("1" if value[at] == "0" else "0") + value[at + 1 :]


@pytest.mark.parametrize("at", [2, 11, 13, 44, 46, -1])
def test_a_session_of_which_one_letter_is_another_proves_nothing(at: int) -> None:
    value, _ = new_session("token", NOW_S, NONCE)
    assert session_until(_other(value, at % len(value)), ["token"], NOW_S) is None


@pytest.mark.parametrize(
    "value", [None, "", "1", "1.2.3.4", "1.." + "." * 80, "\u0661.1." + NONCE + "." + NONCE * 2]
)
def test_what_is_no_session_proves_nothing(value: str | None) -> None:
    assert session_until(value, ["token"], NOW_S) is None


def test_no_session_holds_for_longer_than_one_that_begins_now() -> None:
    value, _ = new_session("token", NOW_S + 7 * 24 * 3600, NONCE)
    assert session_until(value, ["token"], NOW_S) is None


def test_no_script_and_no_page_of_another_site_gets_the_cookie() -> None:
    kept = cookie("v", life_s=60, secure=True)
    assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age=60"} <= set(kept.split("; "))
    assert "Secure" not in cookie("v", life_s=60, secure=False)


@pytest.mark.parametrize(
    ("method", "headers", "counts"),
    [
        ("GET", {}, True),
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "same-site"}, False),
        ("POST", {"sec-fetch-site": "none"}, False),
        ("POST", {"sec-fetch-site": "same-site", "origin": "http://drones:8080"}, False),
        ("POST", {"origin": "http://drones:8080"}, True),
        ("POST", {"origin": "http://drones:8081"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {}, False),
    ],
)
def test_the_cookie_changes_something_only_from_a_page_of_ours(
    method: str, headers: dict[str, str], counts: bool
) -> None:
    assert (why_no_cookie(method, "drones:8080", headers) is None) is counts


@pytest.mark.parametrize(
    ("proto", "client", "may"),
    [
        ("https", "203.0.113.7", True),
        ("http", "127.0.0.1", True),
        (None, "::1", True),
        ("http", "::ffff:127.0.0.1", True),
        ("http", "203.0.113.7", False),
        (None, "10.0.0.4", False),
        ("HTTPS, http", "10.0.0.4", False),
        (None, "unknown", False),
        (None, "", False),
    ],
)
def test_nobody_signs_in_from_another_machine_without_tls(proto: str | None, client: str, may: bool) -> None:
    assert (why_no_session_here(proto, client) is None) is may
