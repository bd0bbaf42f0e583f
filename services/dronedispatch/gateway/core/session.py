"""An operator's session of a browser: a cookie that proves that its holder once showed the operator token. Pure.

Nothing is stored: the cookie says until when it holds, signed by HMAC-SHA256 with the token as key, so that every gateway
that has the token can judge it. Rotating the token ends all sessions that began with it.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable, Mapping

COOKIE = "dd_session"
SESSION_S = 12 * 3600
PLAIN_S = 3600  # without TLS: a cookie knows no ports, so every web server of this machine is shown it
_VALUE = re.compile(r"1\.([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})")


def new_session(token: str, now_s: float, nonce: str, life_s: int = SESSION_S) -> tuple[str, int]:
    """(the cookie's value, the second since 1970 until which it holds). `nonce`: 32 hexadecimal digits of chance."""
    until_s = int(now_s) + life_s
    return f"1.{until_s}.{nonce}.{_signature(token, until_s, nonce)}", until_s


def session_until(value: str | None, tokens: Iterable[str], now_s: float) -> int | None:
    """Until when the session in a cookie holds; None: it holds no more, or never did by any of `tokens`."""
    found = _VALUE.fullmatch(value or "")
    if found is None:
        return None
    until_s, nonce, signature = int(found[1]), found[2], found[3]
    fits = [hmac.compare_digest(signature, _signature(token, until_s, nonce)) for token in tokens]
    return until_s if any(fits) and now_s < until_s <= now_s + SESSION_S + 60 else None


def _signature(token: str, until_s: int, nonce: str) -> str:
    return hmac.new(
        token.encode(), f"dronedispatch session 1 {until_s} {nonce}".encode(), "sha256"
    ).hexdigest()


def cookie(value: str, *, life_s: int, secure: bool) -> str:
    """The Set-Cookie header: out of reach of scripts, and sent by no page of another site. `life_s` 0 takes it away."""
    return (
        f"{COOKIE}={value}; Path=/; Max-Age={life_s}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
    )


def why_no_cookie(method: str, host: str, headers: Mapping[str, str]) -> str | None:
    """The reason why the cookie of this request counts for nothing; None: a page of ours sent it.

    A browser says where a page that changes something stands. Who says nothing is a program, and a program has the token.
    """
    fetch_site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if method in {"GET", "HEAD"} or fetch_site == "same-origin":
        return None
    if fetch_site is None and origin is not None and origin.partition("://")[2].lower() == host.lower():
        return None
    return "a session is good for this system's own pages only: a program shows Authorization: Bearer <token>"


def why_no_session_here(forwarded_proto: str | None, client: str) -> str | None:
    """The reason why nobody may sign in over this connection; None: it is TLS, or does not leave the machine.

    `client`: the address that the load balancer wrote, or, without one, the peer's.
    """
    if forwarded_proto == "https":
        return None
    if is_loopback(client):
        return None
    return (
        "signing in from another machine wants TLS: on plain HTTP others can read the token and the session"
    )


def is_loopback(address: str) -> bool:
    """Whether it is an address of this machine that no other reaches."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
