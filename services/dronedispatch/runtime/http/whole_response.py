"""A plain response that arrived in one piece, read without a parser's callbacks. Pure.

Most answers of a service of ours are: HTTP/1.1, a length, printable ASCII, and the whole body in the first read. They are
recognised by one expression that is stricter than llhttp; all else is llhttp's to read or refuse (connection.py).
"""

from __future__ import annotations

import re
from typing import Final

HEAD_BYTES_MAX: Final = 8_192
_PLAIN: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9]{2}) [ -~]*\r\n(?:[A-Za-z0-9-]+: [!-~](?:[ -~]*[!-~])?\r\n)+"
).fullmatch
_BODYLESS: Final = frozenset({b"204", b"304"})
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"upgrade", b"proxy-connection", b"trailer"})


def whole_response(data: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes] | None:
    """(status, headers with lower-case names in wire order, body) of a kept connection; None: ask llhttp."""
    end = data.find(b"\r\n\r\n")
    if not 0 < end <= HEAD_BYTES_MAX:
        return None
    plain = _PLAIN(data, 0, end + 2)
    if plain is None or plain[1] in _BODYLESS:
        return None
    headers = []
    body_bytes = -1
    for line in data[:end].split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        name = name.lower()
        if name == b"content-length":
            if body_bytes >= 0 or not value.isdigit() or len(value) > 9:
                return None
            body_bytes = int(value)
        elif name in _NOT_PLAIN or (name == b"connection" and value.lower() != b"keep-alive"):
            return None
        headers.append((name, value))
    body = data[end + 4 :]
    return (int(plain[1]), headers, body) if len(body) == body_bytes else None
