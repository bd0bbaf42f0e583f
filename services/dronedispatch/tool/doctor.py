"""`dronedispatch doctor`: what is wrong with a system, and what to type. It looks and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, replace
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dronedispatch.runtime.home import argument, checkout
from dronedispatch.tool import render
from dronedispatch.tool.api import Api
from dronedispatch.tool.diagnosis import Sights, diagnose
from dronedispatch.tool.errors import ApiRefused, ToolError
from dronedispatch.tool.orders import NO_TARGET
from dronedispatch.tool.system import ResolvedTarget, Target, found

STATUS_S_MAX = 120.0
CONSUL_S = 5.0
ANSWER_S_MAX = 8.0


def doctor(
    *,
    nomad: Annotated[
        bool, Parameter(negative="", help="the instances are those of the Nomad at NOMAD_ADDR")
    ] = False,
    target: Target = NO_TARGET,
) -> int:
    """Say what is wrong with the system and what to type: 0 when nothing is, 1 when something is."""
    system = found(target)
    home = f" {argument(system.home.root)}" if system.home else ""
    seen = _door(system)
    if nomad:
        seen = replace(seen, **_nomad())
    elif system.home is not None:
        seen = replace(seen, **_home(system))
    seen = replace(seen, consul=_consul(system))
    findings = diagnose(seen, " --nomad" if nomad else home)
    if target.json:
        render.print_json(
            {
                "well": not findings,
                "findings": [asdict(one) for one in findings],
                "looked_at": looked_at(seen),
            }
        )
        return 1 if findings else 0
    for one in findings:
        print(f"{one.area}: {render.plain(one.what)}\n    -> {render.plain(one.next)}")
    print(f"{'nothing' if not findings else len(findings)} to mend; looked at {', '.join(looked_at(seen))}")
    return 1 if findings else 0


def looked_at(seen: Sights) -> list[str]:
    """What was really looked at: what is not named here is not known to be well."""
    asked = {
        "door": True,
        "health of store and broker": seen.health is not None,
        "clock": seen.ahead_s is not None,
        "processes": seen.processes is not None or bool(seen.processes_trouble),
        "Consul": seen.consul is not None,
        "disk": seen.free_bytes is not None,
        "descriptors": bool(seen.descriptors),
    }
    return [name for name, was in asked.items() if was]


def _door(system: ResolvedTarget) -> Sights:
    api = Api(replace(system, timeout_s=min(system.timeout_s, ANSWER_S_MAX)))
    before_s = time.time()
    try:
        answer = api.ask("GET", "/health")
    except ApiRefused as error:
        if "health" in error.problem:
            return Sights(health=error.problem)
        return Sights(door=str(error))
    except ToolError as error:
        return Sights(door=str(error))
    ahead_s = _ahead(answer.headers.get("date"), before_s, time.time())
    try:
        health: Mapping[str, Any] = answer.document
    except ToolError as error:
        return Sights(door=str(error))
    return Sights(health=health, ahead_s=ahead_s)


def _ahead(date: str | None, before_s: float, after_s: float) -> float | None:
    """Seconds by which the clock behind a Date header is ahead of ours; 0 while it is within the header's second."""
    try:
        told_s = parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return None
    if told_s > after_s:
        return told_s - after_s
    return min(0.0, told_s + 1.0 - before_s)


def _home(system: ResolvedTarget) -> dict[str, Any]:
    assert system.home is not None
    root = system.home.root
    seen: dict[str, Any] = {}
    try:
        usage = shutil.disk_usage(root)
        seen |= {"free_bytes": usage.free, "total_bytes": usage.total}
    except OSError:
        seen["processes_trouble"] = f"the home {root} cannot be looked into"
    place = checkout()
    if place is None:
        return seen
    done = _script(place, "status", "--json", "--home", str(root))
    try:
        rows = json.loads(done.stdout)
    except ValueError:
        lines = (done.stderr or "scripts/status said nothing").strip().splitlines()
        return seen | {"processes_trouble": lines[-1].removeprefix("error: ")}
    return seen | {"processes": tuple(rows), "descriptors": _descriptors(rows)}


def _nomad() -> dict[str, Any]:
    place = checkout()
    if place is None:
        raise ToolError("doctor --nomad needs the checkout that the cluster was deployed from")
    done = _script(place, "status", "--nomad", "--json")
    if done.returncode == 0:
        return {"processes": ()}
    wrong = [
        " ".join(one["instance"].split()) for one in map(_row, done.stdout.splitlines()) if not one["healthy"]
    ]
    said = (done.stderr or "no job of ours runs").strip().splitlines()[-1].removeprefix("error: ")
    return {"processes_trouble": "; ".join(wrong[:5]) or said}


def _row(line: str) -> Mapping[str, Any]:
    row: Mapping[str, Any] = json.loads(line)
    return row


def _script(place: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [place / "scripts" / name, *words],
            capture_output=True,
            text=True,
            timeout=STATUS_S_MAX,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(
            name, 1, "", f"scripts/{name} says nothing within {STATUS_S_MAX:.0f} s"
        )


def _descriptors(rows: list[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Of the processes that run here and that we may look at; empty where there is no /proc."""
    found_of: dict[str, tuple[int, int]] = {}
    for row in rows:
        folder = Path(f"/proc/{row['pid']}")
        try:
            used = len(os.listdir(folder / "fd"))
            lines = (folder / "limits").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith("Max open files"):
                soft = line.split()[3]
                found_of[str(row["process"])] = used, int(soft) if soft.isdigit() else 0
    return found_of


def _consul(system: ResolvedTarget) -> str | None:
    """Whether Consul answers and has a leader; None when nobody says where it is."""
    address = system.home.consul if system.home else os.environ.get("CONSUL_HTTP_ADDR")
    if address is None:
        return None
    secure = os.environ.get("CONSUL_HTTP_SSL", "").lower() in {"1", "true"}
    base = address if "://" in address else f"{'https' if secure else 'http'}://{address}"
    try:
        over_tls = urllib.request.HTTPSHandler(context=_consul_tls())
    except OSError as error:
        return f"CONSUL_CACERT, CONSUL_CLIENT_CERT or CONSUL_CLIENT_KEY cannot be used ({error})"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), over_tls)
    try:
        with opener.open(f"{base}/v1/status/leader", timeout=CONSUL_S) as answer:
            leader = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLCertVerificationError):
            said = reason.verify_message
            return f"the certificate of Consul at {base} is not trusted ({said}): CONSUL_CACERT names the file of its CA"
        return f"Consul at {base} does not answer ({reason}): no failure can be mended, nobody new is found"
    return "" if leader else f"Consul at {base} has no leader"


def _consul_tls() -> ssl.SSLContext:
    """As Consul's own command line is told of it. Raises OSError for files that are not there or hold no certificate."""
    tls = ssl.create_default_context(cafile=os.environ.get("CONSUL_CACERT") or None)
    if client := os.environ.get("CONSUL_CLIENT_CERT"):
        tls.load_cert_chain(client, os.environ.get("CONSUL_CLIENT_KEY") or None)
    return tls
