"""Writing the head of a request (RFC 9112, sections 3 to 6). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_TARGET = re.compile(r"[!-\"$-~]+").fullmatch  # visible ASCII without '#': a fragment never travels
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_BODYLESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})


def request_head(
    method: str, authority: str, target: str, headers: Sequence[tuple[str, str]], body_bytes: int
) -> bytes:
    """The request line and headers, with our own Host and, where the method may have a body, Content-Length.

    Raises ValueError for a method, target, header name or value that could split the message, and for a header
    that is ours to write: a programming error of the caller, never the peer's fault.
    """
    if not _TOKEN(method) or not _TARGET(target):
        raise ValueError(f"no request line can be made of {method!r} {target!r}")
    lines = [f"{method} {target} HTTP/1.1\r\nhost: {authority}"]
    for name, value in headers:
        if not _TOKEN(name) or not _VALUE(value):
            raise ValueError(f"no header can be made of {name!r}: {value!r}")
        if name.lower() in _OURS:
            raise ValueError(f"{name} is written by the client itself")
        lines.append(f"{name}: {value}")
    if body_bytes or method not in _BODYLESS:
        lines.append(f"content-length: {body_bytes}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1")
