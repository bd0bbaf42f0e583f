"""Nomad's HTTP API, as much of it as a deployment needs; the standard library only, so that any host can deploy.

Works with Nomad 1.1 and newer. NOMAD_ADDR, NOMAD_TOKEN and NOMAD_CACERT mean what they mean to the nomad program.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


class NomadError(Exception):
    """Nomad could not be asked, or refused; the message is a sentence for the person who deploys."""


class NomadAbsent(NomadError):
    """Nomad knows no such thing (404)."""


def _reason(exc: OSError) -> str:
    inner = exc.reason if isinstance(exc, urllib.error.URLError) else exc
    return getattr(inner, "strerror", None) or str(inner)


@dataclass(frozen=True, slots=True)
class Nomad:
    """One Nomad. Each call takes at most `timeout_s` and raises NomadError."""

    address: str
    token: str = ""
    cacert: str = ""
    timeout_s: float = 10.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Nomad:
        """The Nomad that the nomad program would talk to."""
        return cls(
            environ.get("NOMAD_ADDR", "http://127.0.0.1:4646").rstrip("/"),
            environ.get("NOMAD_TOKEN", ""),
            environ.get("NOMAD_CACERT", ""),
        )

    def call(self, method: str, path: str, body: Json | None = None) -> Any:
        """One request. Raises NomadAbsent for a 404, NomadError for everything else but success."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("X-Nomad-Token", self.token)
        try:
            context = ssl.create_default_context(cafile=self.cacert) if self.cacert else None
            with urllib.request.urlopen(request, timeout=self.timeout_s, context=context) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as exc:
            raise self._refusal(exc) from exc
        except OSError as exc:
            raise NomadError(
                f"Nomad at {self.address} does not answer ({_reason(exc)}): is it running, and is NOMAD_ADDR right?"
            ) from exc
        except ValueError as exc:
            raise NomadError(f"what answers at {self.address}{path} is not Nomad: {exc}") from exc

    def _refusal(self, exc: urllib.error.HTTPError) -> NomadError:
        text = exc.read().decode("utf-8", "replace").strip()
        if exc.code == 404:
            return NomadAbsent(text or "not found")
        if exc.code == 403:
            return NomadError(
                f"Nomad at {self.address} refuses the token (403): set NOMAD_TOKEN to one that may submit jobs"
            )
        if "No cluster leader" in text:
            return NomadError(
                f"Nomad at {self.address} has no leader: fewer than half of its servers are there"
            )
        return NomadError(text or f"Nomad answered {exc.code}")

    def parse(self, hcl: str) -> Json:
        """The job that `hcl` describes, with all defaults. Raises NomadError with the parser's own words."""
        job: Json = self.call("POST", "/v1/jobs/parse", {"JobHCL": hcl, "Canonicalize": True})
        return job

    def job(self, name: str) -> Json | None:
        """The job as it is registered; None: it is not, or was stopped."""
        try:
            job: Json = self.call("GET", f"/v1/job/{_quoted(name)}")
        except NomadAbsent:
            return None
        return None if job.get("Stop") else job

    def plan(self, job: Json) -> Json:
        """What registering `job` would change, nothing being changed."""
        answer: Json = self.call(
            "POST", f"/v1/job/{_quoted(job['ID'])}/plan", {"Job": job, "Diff": True, "PolicyOverride": False}
        )
        return answer

    def register(self, job: Json, *, plan_index: int, keep_counts: bool) -> Json:
        """Submit `job`, if it is still at `plan_index` (0: not there). `keep_counts`: what was scaled stays so."""
        body = {"Job": job, "EnforceIndex": True, "JobModifyIndex": plan_index, "PreserveCounts": keep_counts}
        answer: Json = self.call("POST", "/v1/jobs", body)
        return answer

    def evaluation(self, identity: str) -> Json:
        """One evaluation: the scheduler's answer to a job."""
        answer: Json = self.call("GET", f"/v1/evaluation/{_quoted(identity)}")
        return answer

    def deployment(self, name: str) -> Json | None:
        """The latest deployment of a job, None if there was none."""
        try:
            answer: Json | None = self.call("GET", f"/v1/job/{_quoted(name)}/deployment")
        except NomadAbsent:
            return None
        return answer

    def allocations(self, name: str) -> list[Json]:
        """The allocations of a job with their task states, those of earlier versions among them."""
        answer: list[Json] = self.call("GET", f"/v1/job/{_quoted(name)}/allocations") or []
        return answer

    def nodes(self) -> list[Json]:
        """The clients, as the list shows them."""
        answer: list[Json] = self.call("GET", "/v1/nodes") or []
        return answer

    def node(self, identity: str) -> Json:
        """One client with all its attributes."""
        answer: Json = self.call("GET", f"/v1/node/{_quoted(identity)}")
        return answer


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")
