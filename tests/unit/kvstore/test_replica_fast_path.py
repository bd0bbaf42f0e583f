"""What a replica answers to a batch below Sanic: the replies, and that it knows Relay."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dronedispatch.kvstore import fast_path
from dronedispatch.kvstore.committer import CommitFailed, Told
from dronedispatch.replication.calls import STORED, AnyCall, AnyReply, Read, encode_calls, encode_replies
from dronedispatch.replication.links import BATCH_TARGET
from dronedispatch.replication.replica_connection import KNOWS_RELAY
from dronedispatch.runtime.settings import Secret

CALLS: list[AnyCall] = [Read("c", 1, "d", 0, "k")]


class Asked:
    """A request for a batch, and its answer."""

    method = b"POST"
    target = BATCH_TARGET.encode()

    def __init__(self, token: bytes = b"t") -> None:
        self.headers = {b"authorization": b"Bearer " + token}
        self.body = encode_calls(CALLS)
        self.answers: list[tuple[int, bytes, bytes]] = []

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        self.answers.append((status, head, body))


def taken(request: Asked, told: list[AnyReply] | CommitFailed) -> bool:
    """Whether the lane takes the request of a replica whose committer says `told`."""

    def begin(calls: Sequence[AnyCall], then: Told) -> None:
        assert calls == CALLS
        then(told)

    return fast_path.lane(lambda: begin, Secret("t"))(request)  # type: ignore[arg-type]


def test_an_answer_holds_the_replies_and_says_that_relays_are_known() -> None:
    request = Asked()
    assert taken(request, [STORED])
    ((status, head, body),) = request.answers
    assert (status, body) == (200, encode_replies([STORED]))
    assert KNOWS_RELAY in head.split(b"\r\n")


def test_a_commit_that_failed_is_an_error_of_the_server() -> None:
    request = Asked()
    assert taken(request, CommitFailed("why"))
    assert request.answers == [(500, b"", b"")]


@pytest.mark.parametrize("token", [b"", b"other"])
def test_what_shows_no_token_is_left_to_sanic(token: bytes) -> None:
    request = Asked(token)
    assert not taken(request, [STORED])
    assert request.answers == []
