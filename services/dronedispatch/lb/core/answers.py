"""What goes to the client: an upstream's head written anew, or an answer of our own. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec

_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}
STATUS_LINES: Final = tuple(
    f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}\r\n".encode() for status in range(1000)
)
_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate te trailer transfer-encoding upgrade content-length "
    b"x-request-id x-overloaded".split()
)
# A gateway's 503 with this header is about room, not about health.
OVERLOADED: Final = (b"x-overloaded", b"1")
_FORWARDED_AS_IS: Final = (
    b"accept-ranges access-control-allow-origin age allow cache-control content-disposition content-encoding "
    b"content-language content-security-policy content-type etag expires last-modified link location "
    b"retry-after server set-cookie strict-transport-security vary x-content-type-options x-outcome".split()
)
_PREFIXES: Final = {name: name + b": " for name in _FORWARDED_AS_IS}


def client_head(
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    *,
    body_bytes: int | None,
    chunked: bool,
    declared_only: bool,
    connection: bytes,
    request_id: bytes,
    date: bytes,
) -> bytes:
    """The response head for the client.

    `body_bytes`: None when unknown; then `chunked` says whether the client takes chunks, else the end is the close.
    `declared_only`: HEAD or 304, whose Content-Length describes a body that does not come. `connection`: b"", b"close"
    or b"keep-alive". `date`: for an upstream that said none. Headers that its Connection names are dropped too.
    """
    out = [STATUS_LINES[status]]
    for name, value in headers:
        prefix = _PREFIXES.get(name)
        if prefix is not None:
            out.append(prefix + value + b"\r\n")
        elif name == b"date":
            date = value
        elif name not in _HOP:
            out.append(name + b": " + value + b"\r\n")
        elif name == b"connection":
            if value.lower() not in (b"keep-alive", b"close"):
                return client_head(
                    status,
                    _without_named(headers, value),
                    body_bytes=body_bytes,
                    chunked=chunked,
                    declared_only=declared_only,
                    connection=connection,
                    request_id=request_id,
                    date=date,
                )
        elif name == b"content-length" and declared_only:
            out.append(b"content-length: " + value + b"\r\n")
    if body_bytes is None:
        if chunked:
            out.append(b"transfer-encoding: chunked\r\n")
    elif not declared_only and status != 204:
        out.append(b"content-length: %d\r\n" % body_bytes)
    if connection:
        out.append(b"connection: " + connection + b"\r\n")
    out.append(b"date: " + date + b"\r\nx-request-id: " + request_id + b"\r\n\r\n")
    return b"".join(out)


def is_event_stream(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the answer is a stream of server-sent events, which has no end of its own."""
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)


def _without_named(headers: Sequence[tuple[bytes, bytes]], value: bytes) -> list[tuple[bytes, bytes]]:
    named = {token.strip(b" \t").lower() for token in value.split(b",")} | {b"connection"}
    return [(name, text) for name, text in headers if name not in named]


def interim_head(status: int, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A 1xx answer (103 Early Hints) for the client."""
    lines = [name + b": " + value + b"\r\n" for name, value in headers if name not in _HOP]
    return STATUS_LINES[status] + b"".join(lines) + b"\r\n"


class _Problem(msgspec.Struct):
    type: str
    title: str
    status: int
    detail: str
    request_id: str


def own_answer(
    status: int,
    detail: str,
    request_id: bytes,
    *,
    close: bool,
    head_only: bool = False,
    retry_after_s: int | None = None,
    outcome_unknown: bool = False,
    date: bytes,
) -> bytes:
    """A problem document (RFC 9457) from the door itself. `outcome_unknown`: the request may have been carried out."""
    body = msgspec.json.encode(
        _Problem("about:blank", _PHRASES.get(status, "Unknown"), status, detail, request_id.decode("latin-1"))
    )
    lines = [
        STATUS_LINES[status],
        b"content-type: application/problem+json\r\ncontent-length: %d\r\n" % len(body),
        b"cache-control: no-store\r\ndate: " + date + b"\r\n",
    ]
    if retry_after_s is not None:
        lines.append(b"retry-after: %d\r\n" % retry_after_s)
    if outcome_unknown:
        lines.append(b"x-outcome: unknown\r\n")
    if close:
        lines.append(b"connection: close\r\n")
    if request_id:
        lines.append(b"x-request-id: " + request_id + b"\r\n")
    lines.append(b"\r\n")
    if not head_only:
        lines.append(body)
    return b"".join(lines)
