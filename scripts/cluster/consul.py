"""Consul's HTTP API, as much of it as access and rotation need; the standard library only."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from scripts.local.trouble import Trouble

Json = dict[str, Any]


class ConsulError(Trouble):
    """Consul could not be asked, or refused; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Consul:
    """One agent, asked with one token. Each call takes at most `timeout_s` and raises ConsulError."""

    address: str
    token: str = ""
    cacert: str = ""
    timeout_s: float = 10.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], token: str = "") -> Consul:
        """The agent that the consul program would talk to."""
        address = environ.get("CONSUL_HTTP_ADDR") or "http://127.0.0.1:8500"
        address = address if "://" in address else f"http://{address}"
        return cls(
            address.rstrip("/"),
            token or environ.get("CONSUL_HTTP_TOKEN", ""),
            environ.get("CONSUL_CACERT", ""),
        )

    def call(self, method: str, path: str, body: bytes | Json | None = None) -> Any:
        """One request; the decoded answer, None for a 404."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.address + path, data=data, method=method)
        if self.token:
            request.add_header("X-Consul-Token", self.token)
        try:
            context = ssl.create_default_context(cafile=self.cacert) if self.cacert else None
            with urllib.request.urlopen(request, timeout=self.timeout_s, context=context) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as exc:
            if exc.code == 404:
                return None
            told = exc.read().decode("utf-8", "replace").strip()
            raise ConsulError(
                f"Consul at {self.address} answers {exc.code} to {method} {path}: {told}"
            ) from exc
        except (OSError, ValueError, HTTPException) as exc:  # HTTPException: an address that is none
            raise ConsulError(
                f"Consul at {self.address} does not answer: {getattr(exc, 'reason', exc)}"
            ) from exc

    def leader(self) -> str:
        """The address of the raft leader, empty while there is none."""
        return str(self.call("GET", "/v1/status/leader") or "")

    def get(self, key: str) -> str | None:
        """The value of a key, read from the leader."""
        found = self.call("GET", f"/v1/kv/{urllib.parse.quote(key)}?consistent")
        return base64.b64decode(found[0]["Value"] or "").decode() if found else None

    def put(self, key: str, value: str) -> bool:
        """Write a key where it differs; whether it did."""
        if self.get(key) == value:
            return False
        if self.call("PUT", f"/v1/kv/{urllib.parse.quote(key)}", value.encode()) is not True:
            raise ConsulError(f"Consul at {self.address} did not write {key}")
        return True
