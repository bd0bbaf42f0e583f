"""scripts/deploy: every job in order, each healthy before the next. Nomad works; order, patience and reasons are ours."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from scripts.cluster import diagnosis
from scripts.cluster.diagnosis import Json
from scripts.local.trouble import Trouble

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "jobs"
ORDER = ("kvstore", "kvfront", "drone-sim", "dispatcher", "gateway", "lb")
OPTIONAL = ("prometheus", "locust")
ALL = (*ORDER, *OPTIONAL)
LATE = 124  # in the place of an exit code: the program did not answer in time


class DeployError(Trouble):
    """What was asked for is not, or cannot be; the message says why and what to do."""


def nomad(
    *words: str, given: str | None = None, fine: Sequence[int] = (0,), kept: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """(exit code, output) of Nomad's program; raises DeployError. A file or an argument may replace what is `kept`."""
    told = {"NOMAD_CLI_NO_COLOR": "1"} | {f"NOMAD_VAR_{key}": one for key, one in (kept or {}).items()}
    limit_s = 10 if words[:2] in {("job", "inspect"), ("node", "status")} else 30  # these are asked first
    run = partial(subprocess.run, capture_output=True, encoding="utf-8", errors="replace", timeout=limit_s)
    try:
        done = run(["nomad", *words], input=given, env=os.environ | told, check=False)
    except FileNotFoundError as exc:
        raise DeployError("is nomad on the PATH (docs/cluster.md), and Nomad at NOMAD_ADDR?") from exc
    except subprocess.TimeoutExpired as exc:
        if LATE in fine:
            return LATE, ""
        raise DeployError(f"Nomad does not answer within {limit_s} s: is it up, at NOMAD_ADDR?") from exc
    if done.returncode not in fine:
        raise DeployError(f"nomad {' '.join(words[:2])}: {diagnosis.refusal(done.stderr or done.stdout)}")
    return done.returncode, done.stdout


def ask(*words: str, kept: Mapping[str, str] | None = None) -> Any:
    """What the program answers as JSON."""
    return json.loads(nomad(*words, kept=kept)[1] or "null")


def running(name: str) -> Json | None:
    """The job as it is registered; None: it is not, or was stopped."""
    try:
        job: Json = ask("job", "inspect", name)["Job"]
    except DeployError as exc:
        if "No job(s)" in str(exc):
            return None
        raise
    return job if job["ID"] == name and not job["Stop"] else None


def said(job: Json) -> Json:
    """The variables that a job was submitted with: it says them in its meta."""
    return dict(json.loads((job.get("Meta") or {}).get("variables", "{}")))


def declared(name: str) -> set[str]:
    """The variables that a job file takes."""
    return set(re.findall(r'(?m)^variable "(\w+)"', (JOBS / f"{name}.nomad.hcl").read_text("utf-8")))


@dataclass(frozen=True, slots=True)
class Deployment:
    """Brings jobs to what their files, `file` (of variables) and `told` ("speed" or "gateway.speed" -> value) say."""

    file: Path | None = None
    told: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float = 600.0

    def filled(self, name: str) -> tuple[list[str], dict[str, str]]:
        """(arguments, kept variables) of a job's submission: what runs is kept where nobody says otherwise."""
        job, takes = running(name) or {}, declared(name)
        kept = {key: str(value) for key, value in said(job).items()}
        kept |= {"instances": str(job["TaskGroups"][0]["Count"])} if job else {}
        told = ((key.rpartition("."), value) for key, value in self.told.items())
        words = [f"-var={key}={one}" for (job, _, key), one in told if job in {"", name} and key in takes]
        words += [f"-var-file={self.file}", "-hcl2-strict=false"] if self.file else []
        return [*words, str(JOBS / f"{name}.nomad.hcl")], kept

    def check(self, names: Sequence[str]) -> None:
        """All that can be known before the first job is submitted. Raises DeployError."""
        text = self.file.read_text() if self.file else ""
        takers = dict.fromkeys(re.findall(r"(?m)^(\w+)\s*=", text), ALL) | dict.fromkeys(self.told, names)
        for key in takers:
            job, _, variable = key.rpartition(".")
            if not any(variable in declared(name) for name in takers[key] if job in {"", name}):
                known = ", ".join(sorted(set().union(*map(declared, takers[key]))))
                raise DeployError(f"{key}: no job takes this variable; known are {known}")
        nodes, servers = ask("node", "status", "-json") or [], ask("server", "members", "-json")
        jobs = [ask("job", "run", "-output", *new, kept=old)["Job"] for new, old in map(self.filled, names)]
        used = {"the program nomad": nomad("version")[1].split()[1]}
        used |= {f"the server {s['Name']}": s["Tags"]["build"] for s in servers if s["Status"] == "alive"}
        used |= {f"the client {one['Name']}": one["Version"] for one in nodes if one["Status"] == "ready"}
        driver = jobs[0]["TaskGroups"][0]["Tasks"][0]["Driver"]
        machines = max(int(said(job).get("machines", 1)) for job in jobs)
        reason = diagnosis.why_unsupported(used) or diagnosis.why_no_clients(nodes, driver, machines)
        listed = nomad("var", "list", "-out=json", "nomad/jobs/", fine=(0, 1))[1].strip()
        full = [ask("node", "status", "-json", one["ID"]) for one in nodes if one["Status"] == "ready"]
        reason = reason or diagnosis.why_no_secrets(names, listed) or diagnosis.why_too_small(jobs, full)
        for path in {said(job)["release"] for job in jobs}:
            places = (Path(path), ROOT / ".artifacts" / f"release-{Path(path).name}")
            for made in filter(Path.is_file, (one / "release.json" for one in places)):
                reason = reason or diagnosis.why_wrong_release(path, json.loads(made.read_bytes()), full)
        if reason is not None:
            raise DeployError(reason)

    def run(self, names: Sequence[str], *, plan: bool = False) -> None:
        """Deploy, or with `plan` show what would change. Raises DeployError at the first job that fails."""
        self.check(names)
        for name in names:
            words, kept = self.filled(name)
            code, text = nomad("job", "plan", *words, fine=(0, 1), kept=kept)
            if (reason := diagnosis.why_not_placed(text)) is not None:
                raise DeployError(f"{name}: {reason}")
            print(f"{name}: {(text if plan else 'changes') if code else 'no change'}", flush=True)
            if code and not plan:
                index = re.findall(r"Job Modify Index: (\d+)", text)[0]
                answer = nomad("job", "run", "-detach", f"-check-index={index}", *words, kept=kept)[1]
                self.watch(name, registered(name, answer))

    def watch(self, name: str, version: int) -> None:
        """Until that version is healthy. Raises DeployError as soon as Nomad knows of a cause."""
        end_s = time.monotonic() + self.deadline_s
        while True:
            known = ask("job", "deployments", "-json", name) or []
            mine = [one for one in ask("job", "allocs", "-json", name) or [] if one["JobVersion"] == version]
            ours: Json = next((one for one in known if one["JobVersion"] == version), {"Status": "unknown"})
            if ours["Status"] == "successful":
                print(f"{name}: healthy", flush=True)
                return
            for one, why in ((one, why) for one in mine if (why := diagnosis.why_doomed(one))):
                raise DeployError(f"{name}: {give_up(ours, one, *why)}")
            if ours["Status"] == "failed" or time.monotonic() > end_s:
                told = f"{ours.get('StatusDescription', 'no deployment')}; {diagnosis.last_said(mine)}"
                raise DeployError(f"{name}: not healthy: {told}")
            if ours["Status"] == "cancelled" or any(one["JobVersion"] > version for one in known):
                raise DeployError(f"{name}: somebody else changed it meanwhile: `nomad job history {name}`")
            time.sleep(1.0)


def registered(name: str, answer: str) -> int:
    """The version that `nomad job run` made of a job: not the newest, which may be somebody else's already."""
    made = ask("eval", "status", "-json", re.findall(r"Evaluation ID: (\S+)", answer)[0])
    versions, index = ask("job", "history", "-json", name), made["JobModifyIndex"]
    return max(int(one["Version"]) for one in versions if one["JobModifyIndex"] <= index)


def give_up(deployment: Json, allocation: Json, task: str, reason: str) -> str:
    """End a deployment that cannot succeed, so that Nomad goes back now; the sentence of why."""
    instance, told = allocation["ID"], str(deployment.get("StatusDescription"))
    last = nomad("alloc", "logs", "-stderr", "-tail", "-n", "5", instance, task, fine=(0, 1, LATE))[1]
    if deployment.get("Status") == "running":
        for words in (("fail", "-detach"), ("status", "-json")):  # the second where Nomad has failed it
            told += nomad("deployment", *words, deployment["ID"], fine=(0, 1, LATE))[1]
    so = "no version is healthy" if re.search("[Ff]ailed", told) else "what serves now is unknown"
    so = "the old version goes on serving" if re.search("reverted|rolling", told) else so
    where = f"{so}. Instance {instance[:8]} on {allocation['NodeName']}, task {task}: {reason}."
    return "\n    ".join([where, *last.splitlines()]) + f"\n  More: nomad alloc status {instance[:8]}"


def main(argv: Sequence[str]) -> int:
    """0: every job is healthy (or the plan was shown). Raises DeployError when one is not."""
    parser = argparse.ArgumentParser("scripts/deploy", description=__doc__, epilog="More: docs/cluster.md.")
    add = parser.add_argument
    add("jobs", nargs="*", metavar="JOB", help=f"only these of {' '.join(ALL)} (default: {' '.join(ORDER)})")
    add("--plan", action="store_true", help="show what would change, change nothing")
    add("--vars", metavar="NAME", help="a file of jobs/vars (cluster), or a path")
    add("--var", metavar="[JOB.]NAME=VALUE", action="append", default=[], help="one variable; repeatable")
    add("--with", dest="extra", choices=OPTIONAL, action="append", default=[], help="an optional job too")
    add("--deadline", metavar="SECONDS", type=float, default=600.0, help="patience with each job (600)")
    options = parser.parse_args(argv)
    names = options.jobs or [*ORDER, *options.extra]
    wrong = [one for one in names if one not in ALL] + [one for one in options.var if "=" not in one]
    file = options.vars and Path(options.vars if "/" in options.vars else f"{JOBS}/vars/{options.vars}.hcl")
    if wrong or (file and not file.is_file()):
        parser.error(f"{(*wrong, file)[0]}: no such job or file, or no NAME=VALUE")
    told = dict(one.split("=", 1) for one in options.var)
    Deployment(file, told, options.deadline).run(names, plan=options.plan)
    return 0
