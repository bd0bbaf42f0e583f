"""Submitting one job and waiting until it is what was asked for, or why it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scripts.cluster import diagnosis
from scripts.cluster.jobfile import JobFile
from scripts.cluster.nomad import Nomad, NomadError
from scripts.cluster.patience import Patience

Json = dict[str, Any]

_OVER = {"successful", "failed", "cancelled"}


class NotHealthy(Exception):
    """A job was submitted and is not healthy; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A parsed job and what Nomad would do with it."""

    job: Json
    plan: Json

    @property
    def name(self) -> str:
        """The job's name."""
        return str(self.job["ID"])

    @property
    def changes(self) -> bool:
        """Whether registering it would change anything."""
        return str((self.plan.get("Diff") or {}).get("Type", "None")) != "None"


def propose(nomad: Nomad, job: JobFile) -> Proposal:
    """Let Nomad parse and plan `job`. Raises NomadError with the parser's words and the job's name."""
    try:
        parsed = nomad.parse(job.text)
        return Proposal(parsed, nomad.plan(parsed))
    except NomadError as exc:
        raise NomadError(f"{job.name}: {exc}") from exc


def register(nomad: Nomad, proposal: Proposal, patience: Patience, *, keep_counts: bool = True) -> int:
    """Submit `proposal` if it changes anything; the job's version. Raises NotHealthy when there is no place for it."""
    failed = proposal.plan.get("FailedTGAllocs") or {}
    if not proposal.changes:
        _refuse(proposal.name, failed)
        return _version(nomad, proposal.name)
    index = int(proposal.plan.get("JobModifyIndex", 0))
    answer = nomad.register(proposal.job, plan_index=index, keep_counts=keep_counts)
    evaluation: Json = {}

    def evaluated() -> bool:
        evaluation.update(nomad.evaluation(str(answer["EvalID"])))
        return evaluation.get("Status") in {"complete", "failed", "canceled"}

    if not patience.until(evaluated):
        raise NotHealthy(
            f"{proposal.name}: Nomad's scheduler has not looked at it for {patience.deadline_s:.0f} s: has it a leader?"
        )
    _refuse(proposal.name, evaluation.get("FailedTGAllocs") or {})
    return _version(nomad, proposal.name)


def _refuse(name: str, failed: Json) -> None:
    reason = diagnosis.why_not_placed(failed)
    if reason is not None:
        raise NotHealthy(f"{name}: {reason}")


def _version(nomad: Nomad, name: str) -> int:
    job = nomad.job(name)
    if job is None:
        raise NotHealthy(f"{name}: somebody stopped it while it was being deployed")
    return int(job.get("Version", 0))


def wait_running(nomad: Nomad, name: str, version: int, patience: Patience) -> None:
    """Until every instance of `version` runs, healthy or not. Raises NotHealthy."""

    def running() -> bool:
        mine = [one for one in nomad.allocations(name) if _current(one, version)]
        return bool(mine) and all(one.get("ClientStatus") == "running" for one in mine)

    if not patience.until(running):
        raise NotHealthy(
            f"{name}: not running after {patience.deadline_s:.0f} s; {_unhealthy(nomad, name, version)}"
        )


def wait_complete(nomad: Nomad, name: str, version: int, patience: Patience) -> None:
    """Until the batch job `name` has ended well. Raises NotHealthy, at once when it ended badly."""
    states: list[str] = []

    def over() -> bool:
        states[:] = [
            str(one.get("ClientStatus"))
            for one in nomad.allocations(name)
            if one.get("JobVersion") == version
        ]
        return bool(states) and ("complete" in states or all(state in {"failed", "lost"} for state in states))

    if not patience.until(over) or "complete" not in states:
        raise NotHealthy(f"{name}: has not ended well; {_unhealthy(nomad, name, version)}")


def wait_healthy(nomad: Nomad, name: str, version: int, patience: Patience) -> None:
    """Until the deployment of `version` is successful. Raises NotHealthy, at once when it failed."""
    deployment: Json = {}

    def over() -> bool:
        latest = nomad.deployment(name) or {}
        if latest.get("JobVersion") != version:
            return False
        deployment.update(latest)
        return deployment.get("Status") in _OVER

    if not patience.until(over):
        raise NotHealthy(
            f"{name}: not healthy after {patience.deadline_s:.0f} s; {_unhealthy(nomad, name, version)}"
        )
    if deployment["Status"] != "successful":
        told = deployment.get("StatusDescription") or deployment["Status"]
        raise NotHealthy(f"{name}: {told}; {_unhealthy(nomad, name, version)}")


def _current(allocation: Json, version: int) -> bool:
    return allocation.get("JobVersion") == version and allocation.get("DesiredStatus") == "run"


def _unhealthy(nomad: Nomad, name: str, version: int) -> str:
    return diagnosis.why_unhealthy(nomad.allocations(name), version)
