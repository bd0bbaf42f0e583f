"""Reading the head of a client's request: what is refused, what is forwarded, how the body is framed.

llhttp (httptools) refuses by itself: bare LF and NUL, folded lines, space before the colon, names that are no tokens,
Content-Length that is no number, twice or with Transfer-Encoding. This page adds what it lets through (RFC 9112
sections 3, 5 and 6; RFC 9110 section 7.6.1): the target's forms and characters, Host, other codings, versions,
hop-by-hop and forwarding headers. Bytes of the client are never forwarded: every line is written anew.
"""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from dronedispatch.lb.core.retry import remembers_keys

HEAD_BYTES_MAX: Final = 16_384
HEADERS_MAX: Final = 100
CHUNKED: Final = -1

_TARGET_BYTES: Final = bytes(byte for byte in range(0x21, 0x7F) if byte != ord("#"))
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?").fullmatch
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}").fullmatch
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]*)(.*)", re.IGNORECASE).fullmatch
_TAB_IN_FRAMING: Final = re.compile(
    rb"\n(?:host|content-length|transfer-encoding):[^\r]*\t", re.IGNORECASE
).search
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00").search
_BODYLESS_10: Final = frozenset({b"GET", b"HEAD", b"DELETE"})
_METHODS_REFUSED: Final = {b"CONNECT": 400, b"PRI": 400, b"TRACE": 405, b"SOURCE": 405}

_COMMON_NAMES: Final = (
    "Accept Accept-Charset Accept-Encoding Accept-Language Authorization Cache-Control Content-Encoding Content-Language "
    "Content-Location Content-Type Cookie DNT Date From If-Match If-Modified-Since If-None-Match If-Range "
    "If-Unmodified-Since Last-Event-ID Origin Pragma Priority Range Referer Sec-Ch-Ua Sec-Ch-Ua-Mobile "
    "Sec-Ch-Ua-Platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User Traceparent Tracestate "
    "Upgrade-Insecure-Requests User-Agent X-Api-Key X-Requested-With"
)
# The usual spellings of names without a meaning for us: one look-up instead of four tests for each header.
_PREFIXES: Final = {
    spelling.encode(): name.lower().encode() + b": "
    for name in _COMMON_NAMES.split()
    for spelling in (name, name.lower(), name.replace("-Id", "-ID").replace("Api", "API"))
}


class Refusal(Exception):
    """The request is answered here, with `status`, and its connection is closed. The text is the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class RequestHead:
    """A request that may be forwarded.

    `body_bytes`: 0 none, > 0 exactly so many, CHUNKED unknown. `lines`: the end-to-end headers, ready to write, without
    line ends. `forwarded_for`: X-Forwarded-For as a trusted peer sent it, else empty. `keyed`: it has an
    Idempotency-Key, and the gateway remembers keys of this call. `line`: the request line for the log.
    `wire_prefix`: room for what `core/forward.py` made of it. Never changed once it is read: equal heads of one
    connection are one object.
    """

    __slots__ = (
        "_close",
        "_connection",
        "_length",
        "_te",
        "_trusted",
        "body_bytes",
        "expects_continue",
        "forwarded_for",
        "host",
        "keep_alive",
        "keyed",
        "line",
        "lines",
        "method",
        "minor",
        "request_id",
        "target",
        "wire_prefix",
        "wire_target",
    )

    def __init__(self, *, trusted: bool) -> None:
        self._trusted = trusted
        self._close = False
        self._connection: list[bytes] | None = None
        self._length = -1
        self._te = False
        self.method = b""
        self.target = b""
        self.wire_target = b""
        self.minor = 1
        self.host = b""
        self.lines: list[bytes] = []
        self.forwarded_for: list[bytes] = []
        self.body_bytes = 0
        self.keep_alive = True
        self.expects_continue = False
        self.keyed = False
        self.request_id = b""
        self.line = ""
        self.wire_prefix = b""

    @property
    def shows_a_token(self) -> bool:
        """Whether it carries credentials: the operator's token, or the session that stands for it."""
        return any(
            line.startswith(b"authorization: ") or (line.startswith(b"cookie: ") and b"dd_session=" in line)
            for line in self.lines
        )

    # --- httptools callbacks ---

    def on_url(self, url: bytes) -> None:
        self.wire_target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        prefix = _PREFIXES.get(name)
        if prefix is not None:
            self.lines.append(prefix + value)
            return
        name = name.lower()
        act = _ACTIONS.get(name)
        if act is not None:
            act(self, value.rstrip(b" \t"))
        elif name.startswith(b"x-forwarded-"):
            if self._trusted:
                self.lines.append(name + b": " + value)
        elif b"_" not in name and not name.startswith(b"proxy-"):
            self.lines.append(name + b": " + value)

    # --- headers with a meaning here ---

    def _host(self, value: bytes) -> None:
        if self.host:
            raise Refusal(400, "more than one Host")
        if not _HOST(value):
            raise Refusal(400, "Host is not a host")
        self.host = value

    def _content_length(self, value: bytes) -> None:
        if self._length >= 0 or not value.isdigit():
            raise Refusal(400, "Content-Length is not one number")
        self._length = int(value)

    def _transfer_encoding(self, value: bytes) -> None:
        if self._te or value.lower() != b"chunked":
            raise Refusal(400, "Transfer-Encoding is not exactly chunked")
        self._te = True

    def _connection_names(self, value: bytes) -> None:
        if b"close" in value.lower():  # as nginx: "close;" and the like mean it too
            self._close = True
        named = [name.strip(b" \t").lower() for name in value.split(b",")]
        self._connection = named if self._connection is None else self._connection + named

    def _expect(self, value: bytes) -> None:
        if value.lower() != b"100-continue":
            raise Refusal(417, "an expectation other than 100-continue")
        self.expects_continue = True

    def _x_request_id(self, value: bytes) -> None:
        if _REQUEST_ID(value):
            self.request_id = value

    def _idempotency_key(self, value: bytes) -> None:
        self.keyed = bool(value)
        self.lines.append(b"idempotency-key: " + value)

    def _x_forwarded_for(self, value: bytes) -> None:
        if self._trusted:
            self.forwarded_for.append(value)

    def _from_trusted_only(self, name: bytes, value: bytes) -> None:
        if self._trusted:
            self.lines.append(name + b": " + value)

    def _drop(self, value: bytes) -> None:
        """Hop-by-hop: ends here."""

    # --- the whole ---

    def _finish(self, head: bytes, method: bytes) -> None:
        url = self.wire_target
        line = method + b" " + url + b" HTTP/1."
        if not head.startswith(line) or head[len(line) : len(line) + 3] not in (b"1\r\n", b"0\r\n"):
            raise Refusal(
                505 if b" HTTP/2" in head[:HEAD_BYTES_MAX] else 400, "not a request line of HTTP/1.0 or 1.1"
            )
        self.method = method
        self.minor = 1 if head[len(line)] == 0x31 else 0
        if method in _METHODS_REFUSED:
            raise Refusal(_METHODS_REFUSED[method], f"method {method.decode()} is not served")
        if not self.host:
            raise Refusal(400, "no Host")
        self.target = self._origin_form(url)
        if self.keyed:
            self.keyed = remembers_keys(method, self.target)
        if self._te:
            if self.minor == 0 or self._length >= 0:
                raise Refusal(400, "Transfer-Encoding with HTTP/1.0 or Content-Length")
            self.body_bytes = CHUNKED
        elif self._length > 0:
            if (
                self.minor == 0 and method in _BODYLESS_10
            ):  # as HAProxy: an old server may not look for this body
                raise Refusal(400, f"a body with {method.decode()} of HTTP/1.0")
            self.body_bytes = self._length
        if self._connection is not None:
            self._obey_connection(self._connection)
        elif self.minor == 0:
            self.keep_alive = False
        self.line = f"{method.decode()} {self.target.decode()} HTTP/1.{self.minor}"

    def _origin_form(self, url: bytes) -> bytes:
        if url.translate(None, _TARGET_BYTES):
            raise Refusal(400, "control, non-ASCII or '#' in the target")
        if url[:1] != b"/":
            if url == b"*" and self.method == b"OPTIONS":
                return url
            url = self._path_of_absolute(url)
        if b"%" in url and _BAD_ESCAPE(url):
            raise Refusal(400, "a '%' in the target that escapes nothing, or NUL")
        if b"/.." in url and _climbs_out(url):
            raise Refusal(400, "the target's path leaves its root")
        return url

    def _path_of_absolute(self, url: bytes) -> bytes:
        absolute = _ABSOLUTE(url)
        if absolute is None:
            raise Refusal(400, "the target is neither a path nor an http URL")
        if absolute[1].lower() != self.host.lower():
            raise Refusal(400, "the target's authority is not Host")
        path = absolute[2]
        return path if path[:1] == b"/" else b"/" + path

    def _obey_connection(self, named: list[bytes]) -> None:
        self.keep_alive = not self._close and (self.minor == 1 or b"keep-alive" in named)
        for name in named:
            if name not in (b"close", b"keep-alive", b""):
                self.lines = [line for line in self.lines if not line.startswith(name + b": ")]
                if name == b"idempotency-key":
                    self.keyed = False


_ACTIONS: Final = {
    b"host": RequestHead._host,
    b"content-length": RequestHead._content_length,
    b"transfer-encoding": RequestHead._transfer_encoding,
    b"connection": RequestHead._connection_names,
    b"expect": RequestHead._expect,
    b"x-request-id": RequestHead._x_request_id,
    b"idempotency-key": RequestHead._idempotency_key,
    b"x-forwarded-for": RequestHead._x_forwarded_for,
    b"forwarded": lambda self, value: self._from_trusted_only(b"forwarded", value),
    b"x-real-ip": RequestHead._drop,
    b"keep-alive": RequestHead._drop,
    b"te": RequestHead._drop,
    b"trailer": RequestHead._drop,
    b"upgrade": RequestHead._drop,
    b"proxy": RequestHead._drop,  # CGI's HTTP_PROXY
    b"http2-settings": RequestHead._drop,
}


def _climbs_out(url: bytes) -> bool:
    """Whether the path has more '..' than names before them."""
    depth = 0
    for part in url.partition(b"?")[0].split(b"/")[1:]:
        if part == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif part not in (b"", b"."):
            depth += 1
    return False


def read_head(head: bytes, *, trusted: bool) -> RequestHead:
    """Read `head` (all bytes up to and with the empty line). Raises Refusal.

    `trusted`: the peer is a proxy of ours, whose forwarding headers are kept.
    """
    if head.count(b"\r\n") > HEADERS_MAX + 2:
        raise Refusal(431, f"more than {HEADERS_MAX} headers")
    if b"\t" in head and _TAB_IN_FRAMING(head):  # legal white space, but nginx reads it otherwise
        raise Refusal(400, "a tab in a header that frames or routes the message")
    request = RequestHead(trusted=trusted)
    parser = HttpRequestParser(request)
    try:
        parser.feed_data(head)
    except (
        HttpParserUpgrade
    ):  # Upgrade is not passed on, so this is an ordinary request; CONNECT is refused below
        pass
    except HttpParserInvalidMethodError as error:
        raise Refusal(501, "unknown method") from error
    except HttpParserError as error:
        cause = error.__context__
        if isinstance(cause, Refusal):
            raise cause from None
        raise Refusal(400, f"malformed: {error}") from error
    request._finish(head, parser.get_method())
    return request
