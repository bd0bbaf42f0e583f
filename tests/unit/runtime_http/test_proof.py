"""Who is told anything: only a peer that proves, for this very connection, that it knows the secret."""

from __future__ import annotations

import pytest

from dronedispatch.runtime.http.proof import Prover, prove
from dronedispatch.runtime.settings import Secret

NONCE = "ab" * 32
OURS = Prover(Secret("new", also=("old",)), lambda: NONCE)


def answer(secret: str = "new", nonce: str = NONCE, address: str = "127.0.0.1", port: int = 9000) -> bytes:
    return prove(secret, nonce, address, port).encode()


@pytest.mark.parametrize("secret", ["new", "old"])
def test_either_secret_of_a_rotation_proves(secret: str) -> None:
    assert OURS.why_not(OURS.question(), ("127.0.0.1", 9000), 200, answer(secret)) is None


@pytest.mark.parametrize(
    ("peer", "status", "body"),
    [
        (("127.0.0.1", 9000), 200, answer("stranger")),
        (("127.0.0.1", 9000), 200, answer(nonce="cd" * 32)),
        (("127.0.0.1", 9000), 200, answer(port=9001)),
        (("127.0.0.1", 9000), 200, answer(address="127.0.0.2")),
        (("127.0.0.1", 9000), 404, answer()),
        (("127.0.0.1", 9000), 200, b""),
        (("127.0.0.1", 9000), 200, b"\xff" * 64),
        (None, 200, answer()),
    ],
    ids=["secret", "nonce", "port", "address", "status", "nothing", "garbage", "no address"],
)
def test_nothing_else_does(peer: tuple[str, int] | None, status: int, body: bytes) -> None:
    assert OURS.why_not(OURS.question(), peer, status, body) is not None


@pytest.mark.parametrize("seen_as", ["::ffff:127.0.0.1", "127.0.0.1"])
def test_an_address_is_the_same_in_either_clothes(seen_as: str) -> None:
    assert OURS.why_not(OURS.question(), (seen_as, 9000), 200, answer()) is None


def test_a_link_local_address_is_the_same_without_its_zone() -> None:
    shown = prove("new", NONCE, "fe80::1%eth0", 9000).encode()
    assert OURS.why_not(OURS.question(), ("fe80::1", 9000, 0, 2), 200, shown) is None


def test_each_question_has_a_nonce_of_its_own() -> None:
    asker = Prover(Secret("new"))
    assert len({asker.question().nonce for _ in range(100)}) == 100
