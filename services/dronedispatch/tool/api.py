"""The public API over one bounded request at a time: definite failure, refusal and unknown are never mixed."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from dronedispatch.runtime.home import argument, trusting
from dronedispatch.tool.errors import ApiRefused, NobodyAnswers, OutcomeNotKnown, ToolError
from dronedispatch.tool.system import ResolvedTarget

TRY_S_MAX = 10.0
PAUSE_S = 0.2
PAUSE_S_MAX = 3.0
BODY_BYTES_MAX = 64 * 1024 * 1024
SAFE = ("GET", "HEAD")
LEAVE_DOUBT = {412, 429}  # refusals of a second try: the first one may be the cause, or was let in before


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer below 400, or a redirect that we do not follow."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The decoded JSON object. Raises ToolError when this is none: somebody else answers there."""
        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise ToolError("what answers there is no DroneDispatch: its answer is not JSON") from error
        if not isinstance(found, dict):
            raise ToolError("what answers there is no DroneDispatch: its answer is no object")
        return found


@dataclass(slots=True)
class Api:
    """`clock` and `sleep` are arguments for tests."""

    system: ResolvedTarget
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        """The decoded answer of a GET, tried again while the system is busy. Raises NobodyAnswers, ApiRefused."""
        return self.ask("GET", path, query=query).document

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
    ) -> ApiAnswer:
        """One request, within the target's timeout; tried again only where that changes nothing twice.

        `repeatable`: the same request twice is one (a key, or a state that is set). Raises NobodyAnswers and
        ApiRefused (definite), OutcomeNotKnown.
        """
        deadline_s = self.clock() + self.system.timeout_s
        may_repeat, unsure = repeatable or method in SAFE, False
        for attempt in range(1000):  # the deadline ends it
            left_s = deadline_s - self.clock()
            try:
                answer = self._once(method, path, query, body, headers, min(left_s, TRY_S_MAX))
            except (OutcomeNotKnown, NobodyAnswers, ApiRefused) as error:
                unsure = unsure or isinstance(error, OutcomeNotKnown)
                status = error.status if isinstance(error, ApiRefused) else None
                retry = status in {None, 503}
                pause_s = min(PAUSE_S_MAX, PAUSE_S * 2**attempt) * self.rng.uniform(0.5, 1.0)
                if not (may_repeat and retry) or self.clock() + pause_s + 0.1 >= deadline_s:
                    in_doubt = unsure and method not in SAFE and (retry or status in LEAVE_DOUBT)
                    if in_doubt and not isinstance(error, OutcomeNotKnown):
                        raise OutcomeNotKnown(
                            f"an earlier try may have been carried out; then: {error}"
                        ) from error
                    raise _as_read(error) if method in SAFE else error from None
                self.sleep(pause_s)
                continue
            return answer
        raise AssertionError("unreachable")

    def change(self, path: str, asked: str, look: str, body: object = None, etag: str | None = None) -> Any:
        """The decoded answer of a POST that sets a state, of the version `etag` alone where one is given. Raises
        NobodyAnswers, ApiRefused, and OutcomeNotKnown with the command that shows whether what was `asked` is so: `look`.
        """
        try:
            given = None if body is None else json.dumps(body).encode()
            headers = {"If-Match": etag} if etag else None
            return self.ask("POST", path, body=given, headers=headers, repeatable=True).document
        except OutcomeNotKnown as error:
            raise OutcomeNotKnown(
                f"unknown whether {asked}: {error}\n"
                f"look with: {self.next_command(look)}, or type the same again: it is safe"
            ) from error

    def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        within_s: float,
    ) -> ApiAnswer:
        deadline_s = self.clock() + within_s
        with self.opened(method, path, query, body, headers, within_s) as (response, connection):
            content = bytearray()
            try:
                while len(content) <= BODY_BYTES_MAX:
                    left_s = deadline_s - self.clock()
                    if left_s <= 0:
                        raise TimeoutError
                    if connection.sock is not None:
                        connection.sock.settimeout(left_s)
                    piece = response.read1(65536)
                    if not piece:
                        break
                    content += piece
            except (OSError, http.client.HTTPException) as error:
                raise OutcomeNotKnown(f"{self.system.url} began to answer and broke off") from error
        return _judged(
            ApiAnswer(response.status, {k.lower(): v for k, v in response.getheaders()}, bytes(content))
        )

    @contextlib.contextmanager
    def opened(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        within_s: float,
    ) -> Iterator[tuple[http.client.HTTPResponse, http.client.HTTPConnection]]:
        """An answer's head, its body still to be read. Raises NobodyAnswers (nothing was sent), OutcomeNotKnown (it was)."""
        connection = self._connected(within_s)
        try:
            given = {k: str(v) for k, v in (query or {}).items() if v is not None}
            target = quote(path, safe="/%:") + (f"?{urlencode(given)}" if given else "")
            try:
                connection.request(method, target, body, self._headers(method, path, body, headers))
                response = connection.getresponse()
            except TimeoutError as error:
                raise OutcomeNotKnown(
                    f"no answer from {self.system.url} within {within_s:.0f} s: it takes connections and says nothing. "
                    f"Type: {self.next_command('doctor')}"
                ) from error
            except (OSError, http.client.HTTPException) as error:
                raise OutcomeNotKnown(
                    f"{self.system.url} closed the connection without an answer ({type(error).__name__}). "
                    f"Type: {self.next_command('doctor')}"
                ) from error
            yield response, connection
        finally:
            connection.close()

    def next_command(self, verb: str) -> str:
        """The command line that looks at this very system."""
        home = self.system.home
        return f"dronedispatch {verb} " + (argument(home.root) if home else f"--url {self.system.url}")

    def _connected(self, within_s: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.system.url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        timeout_s, home = max(0.05, within_s), self.system.home
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        if parts.scheme == "https":
            tls = _trust(home.certificate) if home and home.certificate else None
            connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=tls)
        try:
            connection.connect()
        except ssl.SSLError as error:
            raise ToolError(
                f"{self.system.url}: {error.reason or error}: set SSL_CERT_FILE to its authority"
            ) from error
        except TimeoutError as error:
            raise NobodyAnswers(
                f"{self.system.url} does not take a connection within {within_s:.0f} s"
            ) from error
        except socket.gaierror as error:
            raise NobodyAnswers(f"there is no host {host}: {error.strerror}") from error
        except OSError as error:
            start = (
                f"scripts/up {argument(home.root)}"
                if home
                else "scripts/up, or name another with --home or --url"
            )
            raise NobodyAnswers(
                f"no system answers at {self.system.url} ({error.strerror or error}): start one with {start}"
            ) from error
        return connection

    def _headers(
        self, method: str, path: str, body: bytes | None, given: Mapping[str, str] | None
    ) -> dict[str, str]:
        """The token goes only where it is asked for: on plain HTTP others can read it, and it may be refused."""
        headers = {"Accept": "application/json", "User-Agent": "dronedispatch-tool", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.system.token and method not in SAFE and not path.startswith("/deliveries"):
            headers["Authorization"] = f"Bearer {self.system.token}"
        return headers | dict(given or {})


def _trust(certificate: str) -> ssl.SSLContext:
    try:
        return trusting(certificate)
    except OSError as error:
        reason = error.strerror or error
        raise ToolError(f"the door's certificate {certificate} cannot be read: {reason}") from error


def _judged(answer: ApiAnswer) -> ApiAnswer:
    if answer.status < 400:
        return answer
    try:
        problem = json.loads(answer.body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"title": f"the system answers {answer.status}"}
    if answer.headers.get("x-outcome") == "unknown" or answer.status in {502, 504}:
        raise OutcomeNotKnown(str(problem.get("detail") or problem.get("title")))
    raise ApiRefused(answer.status, problem)


def _as_read(error: ToolError) -> ToolError:
    """Of a read, nothing is in doubt: it has failed."""
    if isinstance(error, OutcomeNotKnown):
        return NobodyAnswers(str(error))
    return error
