"""The door's certificate: read at the start, and again when its files change, without a connection lost."""

from __future__ import annotations

import os
import ssl

import structlog

from dronedispatch.runtime.serve import CannotListen

RELOAD_S = 2.0

log = structlog.get_logger()


class Certificate:
    """`context` serves TLS 1.2 and newer. A new pair of files counts for the handshakes that begin after it was read."""

    def __init__(self, cert: str, key: str) -> None:
        """Paths of PEM files. Raises CannotListen when they cannot be used."""
        self._cert = cert
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._seen = self._state()
        try:
            self.context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise CannotListen(f"LB_TLS_CERT={cert}, LB_TLS_KEY={key}: {error}") from error

    async def once(self) -> str:
        """Read the files again if they changed; a pair that does not fit leaves the old one in service."""
        state = self._state()
        if state == self._seen or None in state:
            return "unchanged"
        self._seen = state
        try:
            # Into a context of its own first: one that fails half-way would leave ours with a key of another certificate.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._cert, self._key)
            self.context.load_cert_chain(self._cert, self._key)
        except (OSError, ssl.SSLError) as error:
            log.error(
                "the new certificate cannot be used, the old one stays", cert=self._cert, reason=str(error)
            )
            return "unusable"
        log.info("certificate read again", cert=self._cert)
        return "read again"

    def _state(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(path) for path in (self._cert, self._key))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
