"""Whether a request may come in: its rate, and what it shows on a line that others can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dronedispatch.lb.core.buckets import Limiter
from dronedispatch.lb.core.heads import RequestHead
from dronedispatch.lb.core.identity import limiter_key

if TYPE_CHECKING:
    from dronedispatch.lb.settings import Settings


class Admission:
    """The limits of all clients and of each. `limiter`: None when there are none."""

    def __init__(self, settings: Settings) -> None:
        client_rate, global_rate = settings.client_rate(), settings.global_rate()
        self.limiter = Limiter(client_rate, global_rate) if client_rate or global_rate else None
        self._key_prefix = (
            settings.client_key_header.lower().encode() + b": " if settings.client_key_header else b""
        )

    def wait_s(self, head: RequestHead, address: str, now_s: float) -> float:
        """0.0, or the seconds to wait until the limits let one more of this client through."""
        if self.limiter is None:
            return 0.0
        if self._key_prefix:
            for line in head.lines:
                if line.startswith(self._key_prefix):
                    return self.limiter.take(line.decode("latin-1"), now_s)
        return self.limiter.take(limiter_key(address) if ":" in address else address, now_s)
