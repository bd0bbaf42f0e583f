"""What is wrong with a cluster or a job, in one sentence: pure functions of what Nomad's program says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.cluster.secrets import GIVEN

Json = Mapping[str, Any]

SUPPORTED = ("1.9", "1.11", "2.0")
AT_ONCE = {"Driver Failure", "Setup Failure", "Failed Validation", "Task hook failed"}
REFUSALS = (
    (r"Enforcing job modify", "somebody else changed the job meanwhile: `nomad job history`, then again"),
    (r"code: 403|ACL token", "Nomad refuses the token: set NOMAD_TOKEN to one that may submit jobs"),
    (r"No cluster leader|Not ready to", "Nomad has no leader: fewer than half of its servers are there"),
    (r"No path to region|nonexistent namespace", "this Nomad has none: see NOMAD_REGION, NOMAD_NAMESPACE"),
    (r"x509|tls:|HTTPS|scheme|URL path", "Nomad is not who it should be: set NOMAD_ADDR and NOMAD_CACERT"),
    (r"refused|no such host|i/o timeout|dial |EOF", "Nomad does not answer: is it up, at NOMAD_ADDR?"),
)
NO_PLACE = (
    (r"reserved port", "another job has the port: `nomad job status`"),
    (r"distinct_hosts", "there are fewer clients than --var machines= says"),
    (r"consul\.version", "no Consul runs beside the client, or Nomad's consul { address } is wrong"),
    (r"host volumes", "no client has the volume (docs/cluster.md): another --vars, or --var driver=..."),
    (r"", "free some, or ask for less (--var JOB.instances=...)"),
)


def refusal(told: str) -> str:
    """What the program meant by its standard error."""
    text = " ".join(told.split())
    return next((f"{hint} ({text[-200:]})" for sign, hint in REFUSALS if re.search(sign, text)), text)


def why_unsupported(used: Mapping[str, str]) -> str | None:
    """Why the first Nomad that is not supported is not used. `used`: whose -> its version."""
    wrong = [one for one in used if ".".join(used[one].lstrip("v").split(".")[:2]) not in SUPPORTED]
    return f"{wrong[0]} is Nomad {used[wrong[0]]}: {', '.join(SUPPORTED)} are supported" if wrong else None


def why_no_clients(nodes: Sequence[Json], driver: str, machines: int) -> str | None:
    """Why nothing can be placed on `nodes` (`nomad node status -json`), whatever the job."""
    usable = [one for one in nodes if one["Status"] == "ready" and one["SchedulingEligibility"] == "eligible"]
    if not usable:
        states = [f"{one['Name']} is {one['Status']} and {one['SchedulingEligibility']}" for one in nodes]
        return f"no Nomad client is ready and eligible ({', '.join(states) or 'there is none'}): `nomad node status`"
    if machines > len(nodes):
        return f"{len(nodes)} clients are fewer clients than --var machines={machines} says: another --vars?"
    drivers = [(one.get("Drivers") or {}).get(driver) or {} for one in usable]
    if any(state.get("Healthy") for state in drivers):
        return None
    told = drivers[0].get("HealthDescription") or "not enabled"
    return f"no Nomad client offers the driver {driver} ({told}): enable it, or --var driver=..."


def why_no_secrets(names: Sequence[str], listed: str) -> str | None:
    """Why jobs would wait for their secrets. `listed`: Nomad's Variables as JSON; empty where the token may not ask."""
    there = {one["Path"] for one in json.loads(listed or "null") or []}
    missing = [name for name in names if listed and name in GIVEN and f"nomad/jobs/{name}" not in there]
    return f"no nomad/jobs/{missing[0]} in this NOMAD_NAMESPACE: docs/cluster.md" if missing else None


def why_too_small(jobs: Iterable[Json], nodes: Sequence[Json]) -> str | None:
    """Why `nodes` (full records) are not the machines that `jobs` are for: every instance added up, and a canary."""
    asked = {"CPU": 0, "MemoryMB": 0}
    for group in (group for job in jobs for group in job["TaskGroups"]):
        count = int(group.get("Count") or 1) + int((group.get("Update") or {}).get("Canary") or 0)
        for name in asked:
            asked[name] += count * sum(int(task["Resources"][name]) for task in group["Tasks"])
    have = {"CPU": sum(one["NodeResources"]["Cpu"]["CpuShares"] for one in nodes)}
    have["MemoryMB"] = sum(one["NodeResources"]["Memory"]["MemoryMB"] for one in nodes)
    if all(asked[name] <= have[name] for name in asked):
        return None
    return f"the jobs ask for {asked} in all, the {len(nodes)} clients have {have}: larger ones, or fewer instances"


def why_wrong_release(release: str, made: Json, nodes: Sequence[Json]) -> str | None:
    """Why a release does not run on a client. `made`: its release.json, for which Python and which CPU it is."""
    for node in nodes:
        has = {"arch": node["Attributes"].get("cpu.arch"), "python": (node.get("Meta") or {}).get("python")}
        if any(value not in {None, made[key]} for key, value in has.items()):
            return f"{release} is made for {made}, {node['Name']} has {has}: scripts/release --help"
    return None


def why_not_placed(plan: str) -> str | None:
    """Why the scheduler finds no place, from what `nomad job plan` prints."""
    missing = sum(map(int, re.findall(r"failed to place (\d+) allocation", plan)))
    told = "; ".join(dict.fromkeys(re.findall(r"^\s*\* (.+)$", plan, re.MULTILINE)))
    hint = next(hint for sign, hint in NO_PLACE if re.search(sign, told))
    return f"no place for {missing} of its instances ({told}): {hint}" if missing else None


def why_doomed(allocation: Json) -> tuple[str, str] | None:
    """(task, reason) where an allocation will not come up: once is bad luck, or with 0 the end of a task that prepares."""
    for task, state in (allocation.get("TaskStates") or {}).items():
        events, ended, stopped = state.get("Events") or [], "", False
        for event in events:
            kind, told = event["Type"], str(event.get("DisplayMessage") or event["Type"])
            if kind in AT_ONCE:
                return task, f"{kind}: {told}"
            stopped = kind in {"Killing", "Restart Signaled"} or (stopped and kind != "Started")
            if kind == "Terminated" and not stopped:
                code = event["Details"]["exit_code"]
                if state.get("Failed") or code == ended or (ended and code != "0"):
                    return task, f"it ends by itself: {told}"
                ended = code
    return None


def last_said(allocations: Iterable[Json]) -> str:
    """The newest event of all tasks: for a deadline that passed."""
    events = [
        (event["Time"], f"{one['ID'][:8]} on {one['NodeName']}: {event['DisplayMessage']}")
        for one in allocations
        for state in (one.get("TaskStates") or {}).values()
        for event in state.get("Events") or []
    ]
    return max(events)[1] if events else "no instance was started"
