"""What is wrong with a cluster or a deployment, in one sentence: pure functions of Nomad's answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

NOMAD_OLDEST = (1, 1, 0)
CONSUL_OLDEST = (1, 8, 0)


def version(text: str) -> tuple[int, int, int]:
    """(1, 7, 2) for "1.7.2", "v1.7.2-dev" or "1.7.2+ent"; (0, 0, 0) for what is no version."""
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)


def why_no_cluster(nodes: Sequence[Json]) -> str | None:
    """Why nothing can be placed on `nodes` (Nomad's list), whatever the job; None: something can."""
    if not nodes:
        return "Nomad has no clients: start an agent with client { enabled = true } on the machines that shall work"
    ready = [node for node in nodes if node.get("Status") == "ready"]
    if not ready:
        names = ", ".join(f"{node.get('Name')} is {node.get('Status')}" for node in nodes)
        return f"no Nomad client is ready ({names}): see `nomad node status` and the agents' logs"
    if not any(node.get("SchedulingEligibility", "eligible") == "eligible" for node in ready):
        return "every Nomad client is drained or ineligible: `nomad node eligibility -enable <id>`"
    old = [node for node in ready if version(str(node.get("Version", ""))) < NOMAD_OLDEST]
    if old:
        return f"Nomad {old[0].get('Version')} on {old[0].get('Name')} is too old: 1.1 or newer is needed"
    return None


def why_no_consul(nodes: Sequence[Json]) -> str | None:
    """Why jobs with services find no place on `nodes` (full records): none of them sees its Consul, or an old one."""
    seen = [
        (str(node.get("Name")), str((node.get("Attributes") or {}).get("consul.version", "")))
        for node in nodes
    ]
    blind = [name for name, found in seen if not found]
    if len(blind) == len(seen):
        return (
            f"no Nomad client sees a Consul agent ({', '.join(blind)}): "
            "Consul is down there, or Nomad's consul { address } is wrong"
        )
    old = [(name, found) for name, found in seen if found and version(found) < CONSUL_OLDEST]
    if old:
        return f"Consul {old[0][1]} on {old[0][0]} is too old: 1.8 or newer is needed"
    return None


def why_no_driver(nodes: Sequence[Json], driver: str) -> str | None:
    """Why `driver` runs on none of `nodes` (full records)."""
    states = [(node.get("Drivers") or {}).get(driver) for node in nodes]
    if any(state and state.get("Healthy") for state in states):
        return None
    told = next(
        (str(state["HealthDescription"]) for state in states if state and state.get("HealthDescription")),
        "not enabled",
    )
    return f"no Nomad client offers the driver {driver} ({told}): enable it there, or --var driver=..."


def why_not_placed(failed: Mapping[str, Json]) -> str | None:
    """Why the scheduler found no place, from an evaluation's or a plan's FailedTGAllocs."""
    for group, metrics in failed.items():
        reasons = [f"{count} by {text}" for text, count in (metrics.get("ConstraintFiltered") or {}).items()]
        reasons += [
            f"{count} short of {text}" for text, count in (metrics.get("DimensionExhausted") or {}).items()
        ]
        reasons += [
            f"{count} by class {text}" for text, count in (metrics.get("ClassFiltered") or {}).items()
        ]
        evaluated = metrics.get("NodesEvaluated", 0)
        if not evaluated:
            return f"group {group}: no client of its datacenters is ready"
        missing = 1 + int(metrics.get("CoalescedFailures", 0))
        detail = "; ".join(reasons) or "no reason given"
        return f"group {group}: no place for {missing} of its instances; of {evaluated} clients were ruled out: {detail}"
    return None


def why_unhealthy(allocations: Iterable[Json], job_version: int) -> str:
    """What the newest unhappy allocation of version `job_version` last said."""
    mine = [one for one in allocations if one.get("JobVersion") == job_version]
    mine.sort(key=lambda one: (_healthy(one), -int(one.get("ModifyIndex", 0))))
    if not mine:
        return "no instance was started"
    worst = mine[0]
    where = f"instance {str(worst.get('ID', ''))[:8]} on {worst.get('NodeName', '?')} is {worst.get('ClientStatus')}"
    events = [
        (int(event.get("Time", 0)), task, str(event.get("DisplayMessage") or event.get("Type")))
        for task, state in (worst.get("TaskStates") or {}).items()
        for event in state.get("Events") or []
    ]
    if not events:
        return where
    telling = [event for event in events if _tells(event[2])] or events
    _, task, message = max(telling)
    return f"{where}: {task}: {message}"


def _healthy(allocation: Json) -> int:
    return 1 if (allocation.get("DeploymentStatus") or {}).get("Healthy") else 0


def _tells(message: str) -> bool:
    quiet = ("Task received by client", "Building Task Directory", "Task started by client", "Sent interrupt")
    return not message.startswith(quiet)


def describe_plan(answer: Json) -> str:
    """One line: what a plan would do."""
    kind = str((answer.get("Diff") or {}).get("Type", "None"))
    if kind == "None":
        return "no change"
    words = {
        "Place": "start",
        "Stop": "stop",
        "DestructiveUpdate": "replace",
        "InPlaceUpdate": "update in place",
        "Canary": "try",
    }
    words |= {"Migrate": "move", "Ignore": "leave"}
    updates = ((answer.get("Annotations") or {}).get("DesiredTGUpdates") or {}).items()
    parts = [
        f"{group}: " + ", ".join(f"{word} {counts[name]}" for name, word in words.items() if counts.get(name))
        for group, counts in updates
    ]
    return f"{'new job' if kind == 'Added' else 'change'} ({'; '.join(parts)})" if parts else kind.lower()


def describe_fields(diff: Json, path: str = "") -> list[str]:
    """Each changed value of a plan's diff, one line each: path, old -> new."""
    lines: list[str] = []
    for field in diff.get("Fields") or []:
        if field.get("Type") in {None, "None"}:
            continue
        lines.append(
            f"{path}{field.get('Name')}: {field.get('Old') or '(none)'} -> {field.get('New') or '(none)'}"
        )
    for kind in ("Objects", "TaskGroups", "Tasks"):
        for inner in diff.get(kind) or []:
            lines += describe_fields(inner, f"{path}{inner.get('Name')}.")
    return lines
