"""The body of a request on its way: unframed, bounded, framed anew, and kept while a retry may need it. Pure."""

from __future__ import annotations

from dronedispatch.lb.core.chunked import ChunkedBody
from dronedispatch.lb.core.heads import CHUNKED, Refusal
from dronedispatch.lb.core.retry import BODY_KEPT_BYTES_MAX


class Upload:
    """`kept`: the framed bytes so far, None once there were more than BODY_KEPT_BYTES_MAX and somebody has them."""

    __slots__ = ("_bytes_max", "_chunks", "_left", "bytes_in", "done", "kept", "kept_bytes")

    def __init__(self, body_bytes: int, bytes_max: int) -> None:
        """`body_bytes`: the declared length, or CHUNKED. Raises Refusal (413)."""
        if body_bytes > bytes_max:
            raise Refusal(413, f"a body of {body_bytes} bytes, limit {bytes_max}")
        self._bytes_max = bytes_max
        self._left = body_bytes
        self._chunks = ChunkedBody() if body_bytes == CHUNKED else None
        self.bytes_in = 0
        self.done = False
        self.kept: list[bytes] | None = []
        self.kept_bytes = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """(what to write upstream, what lies beyond the body). Raises Refusal (400 or 413)."""
        if self._chunks is None:
            payload, rest = self._up_to_length(data)
            self.bytes_in += len(payload)
        else:
            pieces, rest = self._chunks.feed(data)
            payload = b"".join(pieces)
            self.done = self._chunks.done
            self.bytes_in += len(payload)
            if self.bytes_in > self._bytes_max:
                raise Refusal(413, f"a body of more than {self._bytes_max} bytes")
            if payload:
                payload = b"%x\r\n%b\r\n" % (len(payload), payload)
            if self.done:
                payload += b"0\r\n\r\n"
        if self.kept is not None:
            self.kept.append(payload)
            self.kept_bytes += len(payload)
        return payload, rest

    def _up_to_length(self, data: bytes) -> tuple[bytes, bytes]:
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return data, b""
        self._left = 0
        self.done = True
        if len(data) == left:
            return data, b""
        return data[:left], data[left:]

    @property
    def is_over(self) -> bool:
        """More is kept than a retry may cost."""
        return self.kept_bytes > BODY_KEPT_BYTES_MAX

    def forget(self) -> None:
        """It was handed on, and is too long to be kept."""
        if self.is_over:
            self.kept = None
