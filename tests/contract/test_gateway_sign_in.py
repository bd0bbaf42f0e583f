"""Signing in by HTTP: the token once, then a cookie that counts where the token does."""

from __future__ import annotations

import pytest

from dronedispatch.fleet.city import default_city
from dronedispatch.gateway.core.session import SESSION_S
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.gateway import MemoryGateway
from support.gateway_client import OPERATOR, Api, served_api

OURS = {"Sec-Fetch-Site": "same-origin"}


async def sign_in(api: Api, **more: str) -> dict[str, str]:
    """The Cookie header that a browser sends afterwards."""
    status, body, headers = await api.call("POST", "/session", headers=OPERATOR | OURS | more)
    assert (status, body["signed_in"]) == (200, True)
    return {"Cookie": headers["set-cookie"].partition(";")[0]}


@pytest.fixture(autouse=True)
def _no_jar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test says itself which cookie it sends."""
    monkeypatch.setattr("aiohttp.CookieJar.update_cookies", lambda *_args, **_more: None)


async def test_who_has_signed_in_does_what_the_token_does(api: Api) -> None:
    session = await sign_in(api)
    status, body, _ = await api.call("GET", "/session", headers=session)
    assert (status, body["signed_in"]) == (200, True)
    status, _, _ = await api.call("PUT", "/zones", json=dict(default_city().document), headers=session | OURS)
    assert status == 200
    status, body, _ = await api.call("POST", "/drones/d1/decommission", headers=session | OURS)
    assert (status, body["field"]) == (404, "drone_id")  # past the gate: there is no such drone


async def test_without_token_or_session_nobody_is_signed_in(api: Api) -> None:
    status, body, headers = await api.call("POST", "/session", headers={"Authorization": "Bearer wrong"})
    assert (status, body["type"], "set-cookie" in headers) == (401, "/problems/unauthorized", False)
    assert (await api.call("POST", "/session"))[0] == 401
    assert (await api.call("GET", "/session"))[1] == {"signed_in": False, "until": None}
    status, _, _ = await api.call("PUT", "/zones", json={}, headers={"Cookie": "dd_session=1.2.3.4"} | OURS)
    assert status == 401


async def test_a_session_counts_for_nothing_from_elsewhere_and_a_wrong_token_beside_it_is_wrong(
    api: Api,
) -> None:
    session = await sign_in(api)
    for where in ({}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://127.0.0.1:1"}):
        status, _, _ = await api.call("POST", "/drones/d1/decommission", headers=session | where)
        assert status in {401, 403}, where
    wrong = session | OURS | {"Authorization": "Bearer wrong"}
    assert (await api.call("POST", "/drones/d1/decommission", headers=wrong))[0] == 401


async def test_signing_out_takes_the_cookie_away(api: Api) -> None:
    session = await sign_in(api)
    status, body, headers = await api.call("DELETE", "/session", headers=session | OURS)
    assert (status, body["signed_in"]) == (200, False)
    assert "Max-Age=0" in headers["set-cookie"]


@pytest.mark.parametrize("hops", ["203.0.113.7", "203.0.113.7, 127.0.0.1", "127.0.0.1, 203.0.113.7, ::1"])
async def test_from_another_machine_signing_in_wants_tls(api: Api, hops: str) -> None:
    """A proxy on this machine speaks for others."""
    away = OPERATOR | {"X-Forwarded-For": hops}
    status, body, headers = await api.call("POST", "/session", headers=away | {"X-Forwarded-Proto": "http"})
    assert (status, body["type"], "set-cookie" in headers) == (403, "/problems/wants-tls", False)
    status, _, headers = await api.call("POST", "/session", headers=away | {"X-Forwarded-Proto": "https"})
    assert (status, "Secure" in headers["set-cookie"]) == (200, True)


async def test_a_session_ends_by_itself() -> None:
    clock = FakeClock()
    async with served_api(MemoryGateway(clock=clock)) as api:
        session = await sign_in(api)
        clock.advance(SESSION_S)
        assert (await api.call("GET", "/session", headers=session))[1]["signed_in"] is False
        assert (await api.call("PUT", "/zones", json={}, headers=session | OURS))[0] == 401
