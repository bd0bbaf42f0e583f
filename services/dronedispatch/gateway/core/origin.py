"""Where a request comes from: by which name the door was called, and whether another site's page sent it.

The API has no CORS headers, and its one cookie (core/session.py) is SameSite=Strict, but it stands on loopback and in
private networks, where any page that somebody has open may send to it what a browser sends without asking. So a browser's
word on the sender is held against the name that was called, and the name against the names of this door (DNS rebinding: a
stranger's name that resolves to our address is same-origin for the browser).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK = "localhost"
_LABEL = re.compile(r"[a-z0-9_-]+")
_PORT = re.compile(r":[0-9]*\Z")


def why_cross_site(method: str, host: str, origin: str | None, fetch_site: str | None) -> str | None:
    """The reason why a request that changes something is another site's; None: a page of ours, or no browser, sent it.

    `fetch_site`: Sec-Fetch-Site, which every browser of today sends to loopback and over TLS; else Origin is compared.
    """
    if method in SAFE_METHODS:
        return None
    if fetch_site is not None:
        if fetch_site in {"same-origin", "none"}:
            return None
        return f"a page of another site may not send this (Sec-Fetch-Site: {fetch_site[:40]})"
    if origin is None or urlsplit_host(origin) == host.lower():
        return None
    return f"a page of {origin[:80]} may not send this to {host[:80]}"


def urlsplit_host(origin: str) -> str | None:
    """Host and port of an origin; None for `null` and for what is none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


class HostNames:
    """The names that this door answers to: loopback's, what no stranger can point at us, and those that it was told.

    A stranger cannot point an address, nor a name without a dot: no public name is one. A told name that begins with a
    dot stands for all below it; `*` for all names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        told = {name.strip().lower().rstrip(".") for name in names if name.strip()}
        self._any = "*" in told
        self._names = frozenset(told | {LOOPBACK})
        self._below = (f".{LOOPBACK}", *(name for name in told if name.startswith(".")))

    def why_not(self, host: str) -> str | None:
        """The reason why a Host header names another door; None: it is ours, or there is none (HTTP/1.0)."""
        name = _PORT.sub("", host).lower().rstrip(".")
        if not name or self._any or name in self._names or name.endswith(self._below):
            return None
        if ("." not in name.strip("[]") and _LABEL.fullmatch(name)) or _is_address(name):
            return None
        return f"this door is not {name[:80]}: the names that it answers to stand in GATEWAY_HOST_NAMES"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
