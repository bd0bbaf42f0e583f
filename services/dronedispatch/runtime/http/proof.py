"""A service proves that it is one of ours before it is told anything: once a connection, by a secret that all share.

Whoever can write to Consul can enter a service of his own there, and would be sent bearer tokens and clients' requests.
So the first exchange of a connection is a question with a nonce, and the answer an HMAC-SHA256 over the nonce and over
the address and port of the answering end, as each side sees them on its own socket. A stranger who passes the question
on to a real service gets an answer for another connection. Pure but for the nonce.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, NamedTuple

from dronedispatch.runtime.settings import Secret

PATH: Final = "/.well-known/dronedispatch-proof"
NONCE: Final = re.compile(r"[0-9a-f]{64}").fullmatch
ANSWER_BYTES_MAX: Final = 4_096


class Question(NamedTuple):
    """What the peer is asked: a request target that carries the nonce."""

    nonce: str
    target: str


class Prover:
    """Asks peers for their proof. `secret.also` are accepted too, so that the secret can be rotated."""

    def __init__(self, secret: Secret, nonce: Callable[[], str] = lambda: secrets.token_hex(32)) -> None:
        self._secret = secret
        self._nonce = nonce

    def question(self) -> Question:
        """A new question."""
        nonce = self._nonce()
        return Question(nonce, f"{PATH}?nonce={nonce}")

    def why_not(self, question: Question, peer: Sequence[Any] | None, status: int, body: bytes) -> str | None:
        """None when `body` proves that the end at `peer` (a socket's address and port) knows the secret."""
        if status != 200:
            return f"it answered {status}"
        if not peer:
            return "it has no address"
        shown = body.strip()
        wanted = [
            prove(one, question.nonce, str(peer[0]), int(peer[1])).encode()
            for one in (self._secret.value, *self._secret.also)
        ]
        fits = [hmac.compare_digest(shown, one) for one in wanted]
        return None if any(fits) else "its proof is not one for this connection"


def prove(secret: str, nonce: str, address: str, port: int) -> str:
    """The proof of who is reached at `address` and `port`, as 64 hexadecimal digits."""
    text = f"dronedispatch proof 1\n{nonce}\n{_plain(address)}\n{port}"
    return hmac.new(secret.encode(), text.encode(), sha256).hexdigest()


def prover(secret: Secret | None) -> Prover | None:
    """None without a secret: then nobody is asked."""
    return None if secret is None else Prover(secret)


def _plain(address: str) -> str:
    """One text for one address: no zone, no IPv4 in the clothes of IPv6."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)
