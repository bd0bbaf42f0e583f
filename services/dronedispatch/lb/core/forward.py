"""The head that a gateway gets: the client's end-to-end headers, then what only the door can say. Pure."""

from __future__ import annotations

from typing import Final

from dronedispatch.lb.core.heads import CHUNKED, RequestHead

_WITH_BODY: Final = frozenset({b"POST", b"PUT", b"PATCH"})


def peer_lines(address: str, *, tls: bool = False) -> bytes:
    """What is said of an untrusted peer, ready to write: made once a connection."""
    return f"x-forwarded-for: {address}\r\nx-forwarded-proto: {'https' if tls else 'http'}".encode()


def wire_prefix(request: RequestHead, peer: str, lines_of_peer: bytes) -> bytes:
    """The request line and the headers up to the value of X-Request-ID, which is all that two equal heads differ in.

    Chunked stays chunked, a length stays a length.
    """
    lines = [request.method + b" " + request.target + b" HTTP/1.1", b"host: " + request.host]
    lines += request.lines
    if request.forwarded_for:
        lines.append(b"x-forwarded-for: " + b", ".join((*request.forwarded_for, peer.encode())))
    else:
        lines.append(lines_of_peer)
    body_bytes = request.body_bytes
    if body_bytes == CHUNKED:
        lines.append(b"transfer-encoding: chunked")
    elif body_bytes or request.method in _WITH_BODY:
        lines.append(b"content-length: %d" % body_bytes)
    lines.append(b"x-request-id: ")
    return b"\r\n".join(lines)
