"""May this request be sent again? And how many such may there be in all. Pure."""

from __future__ import annotations

from typing import Final

SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
IDEMPOTENT: Final = SAFE | {b"PUT", b"DELETE"}
KEYED_POSTS: Final = frozenset({b"/deliveries"})
RETRY_STATUSES: Final = frozenset({502, 503, 504})
CAUSED_BY_STATE: Final = frozenset({404, 409, 410, 412})
TRIES_MAX: Final = 3
BODY_KEPT_BYTES_MAX: Final = 65_536


def remembers_keys(method: bytes, target: bytes) -> bool:
    """Whether the gateway remembers the Idempotency-Key of this call: a key elsewhere is a promise that nobody keeps."""
    return method == b"POST" and target.partition(b"?")[0] in KEYED_POSTS


def may_repeat(method: bytes, *, keyed: bool) -> bool:
    """Whether doing it twice is the same as doing it once: by the method's meaning, or by the gateway's memory of keys.

    `keyed`: the request has a key, and `remembers_keys`.
    """
    return method in IDEMPOTENT or keyed


def may_be_own_doing(status: int, method: bytes, *, keyed: bool) -> bool:
    """Whether an earlier try of the same request, had it been carried out, could be why this one is refused so.

    A PUT under If-Match changes the version that it names, a DELETE takes away what it names; a key is recognised.
    """
    return status in CAUSED_BY_STATE and not (keyed and method not in IDEMPOTENT)


def why_no_retry(
    *, method: bytes, keyed: bool, sent: bool, outcome_unknown: bool, tries: int, body_kept: bool
) -> str | None:
    """None when another try is right, else the reason.

    `sent`: at least a part of the request reached an upstream (False: refused connect, so any method may go again).
    `outcome_unknown`: the upstream answered `X-Outcome: unknown`: it may have happened.
    `tries`: how many there were. `body_kept`: the body so far is still in memory.
    """
    if tries >= TRIES_MAX:
        return f"{tries} tries"
    if not body_kept:
        return "the body is gone"
    if not sent:
        return None
    if not may_repeat(method, keyed=keyed):
        return f"{method.decode('latin-1')} without a key is not repeated"
    if outcome_unknown and not keyed:
        return "the outcome is unknown"
    return None


class RetryBudget:
    """Retries may be at most `share` of the requests of the last ten seconds, or `floor` in that time.

    Without it a failing upstream gets a multiple of the load it fails under. A try that never got past a refused
    connect loads nobody and is not counted: with little traffic a dead gateway would soon have used up the floor.
    """

    __slots__ = ("_floor", "_requests", "_retries", "_second", "_share", "_sum_requests", "_sum_retries")

    WINDOW_S: Final = 10

    def __init__(self, *, share: float, floor: int) -> None:
        self._share = share
        self._floor = floor
        self._requests = [0] * self.WINDOW_S
        self._retries = [0] * self.WINDOW_S
        self._sum_requests = 0
        self._sum_retries = 0
        self._second = 0

    def request(self, now_s: float) -> None:
        """Count a request of a client."""
        if now_s >= self._second + 1:
            self._turn(int(now_s))
        self._requests[self._second % self.WINDOW_S] += 1
        self._sum_requests += 1

    def has(self, now_s: float) -> bool:
        """Whether one retry more is within it."""
        if now_s >= self._second + 1:
            self._turn(int(now_s))
        return self._sum_retries + 1 <= max(self._floor, self._share * self._sum_requests)

    def take(self, now_s: float) -> bool:
        """Take one retry if the budget has it."""
        if not self.has(now_s):
            return False
        self._retries[self._second % self.WINDOW_S] += 1
        self._sum_retries += 1
        return True

    def _turn(self, second: int) -> None:
        for passed in range(self._second + 1, min(second, self._second + self.WINDOW_S) + 1):
            slot = passed % self.WINDOW_S
            self._sum_requests -= self._requests[slot]
            self._sum_retries -= self._retries[slot]
            self._requests[slot] = self._retries[slot] = 0
        self._second = second
