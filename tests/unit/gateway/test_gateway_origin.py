"""Whose page a request comes from, and whose name it calls."""

from __future__ import annotations

import pytest

from dronedispatch.gateway.core.origin import HostNames, why_cross_site

HOST = "city.example:8080"


@pytest.mark.parametrize(
    ("origin", "fetch_site"),
    [
        (None, None),
        ("http://city.example:8080", None),
        ("https://CITY.example:8080", None),
        ("null", "same-origin"),
        (None, "none"),
    ],
)
def test_programs_and_our_own_pages_may_change_things(origin: str | None, fetch_site: str | None) -> None:
    assert why_cross_site("POST", HOST, origin, fetch_site) is None


@pytest.mark.parametrize(
    ("origin", "fetch_site"),
    [
        ("http://evil.example", None),
        ("http://city.example:8081", None),
        ("null", None),
        ("http://[", None),
        ("", None),
        ("http://city.example:8080", "cross-site"),
        (None, "same-site"),
        (None, "nonsense"),
    ],
)
def test_another_sites_page_may_only_read(origin: str | None, fetch_site: str | None) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert why_cross_site(method, HOST, origin, fetch_site) is not None
    assert why_cross_site("GET", HOST, origin, fetch_site) is None


ADDRESSES = ("127.0.0.1:8080", "10.1.2.3", "[::1]", "[::1]:8080", "")
OURS = ("localhost", "LOCALHOST:80", "a.localhost", "city.example.", *ADDRESSES)
ALSO_OURS = ("b.net:1", "gateway:8080")
STRANGE = ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "not.localhost.x", "a b", "é")


@pytest.mark.parametrize("host", OURS + ALSO_OURS)
def test_addresses_loopback_and_told_names_are_ours(host: str) -> None:
    assert HostNames(["city.example", ".net", ""]).why_not(host) is None


@pytest.mark.parametrize("host", STRANGE)
def test_another_name_is_refused(host: str) -> None:
    assert HostNames(["city.example", ".net", ""]).why_not(host) is not None
    assert HostNames(["*"]).why_not(host) is None
