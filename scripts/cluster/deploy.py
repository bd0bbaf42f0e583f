"""scripts/deploy: every job in order, each healthy before the next. Nomad works; order, patience and reasons are ours."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from scripts.cluster import diagnosis
from scripts.cluster.diagnosis import Json

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "jobs"
ORDER = ("kvstore", "kvfront", "drone-sim", "dispatcher", "gateway", "lb")
OPTIONAL = ("prometheus", "locust")


class DeployError(Exception):
    """What was asked for is not, or cannot be; the message says why and what to do."""


def nomad(
    *words: str, given: str | None = None, fine: Sequence[int] = (0,), kept: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """(exit code, output) of Nomad's program; raises DeployError. A file or an argument may replace what is `kept`."""
    told = {"NOMAD_CLI_NO_COLOR": "1"} | {f"NOMAD_VAR_{key}": one for key, one in (kept or {}).items()}
    run = partial(subprocess.run, capture_output=True, text=True, timeout=15, check=False)
    try:
        done = run(["nomad", *words], input=given, env=os.environ | told)
    except (FileNotFoundError, subprocess.TimeoutExpired) as exc:
        raise DeployError(f"{exc}: is nomad on the PATH, and does Nomad answer at NOMAD_ADDR?") from exc
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
    variables: Json = json.loads((job.get("Meta") or {}).get("variables", "{}"))
    return variables


def declared(name: str) -> set[str]:
    """The variables that a job file takes."""
    text = (JOBS / f"{name}.nomad.hcl").read_text("utf-8")
    return set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))


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
        if job:
            kept["instances"] = str(job["TaskGroups"][0]["Count"])
        told = {
            key.rpartition(".")[2]: one
            for key, one in self.told.items()
            if key.rpartition(".")[0] in {"", name}
        }
        words = [f"-var={key}={value}" for key, value in told.items() if key in takes]
        words += [f"-var-file={self.file}", "-hcl2-strict=false"] if self.file else []
        return [*words, str(JOBS / f"{name}.nomad.hcl")], kept

    def check(self, names: Sequence[str]) -> None:
        """All that can be known before the first job is submitted. Raises DeployError."""
        text = self.file.read_text("utf-8") if self.file else ""
        for key in [*self.told, *re.findall(r"^(\w+)\s*=", text, re.MULTILINE)]:
            job, _, variable = key.rpartition(".")
            if not any(variable in declared(name) for name in names if job in {"", name}):
                known = ", ".join(sorted(set().union(*map(declared, names))))
                raise DeployError(f"{key}: no job takes this variable; known are {known}")
        nodes = ask("node", "status", "-json") or []
        jobs = [
            ask("job", "run", "-output", *words, kept=kept)["Job"] for words, kept in map(self.filled, names)
        ]
        reason = diagnosis.why_unsupported(nomad("version")[1].split()[1], "the program nomad")
        reason = reason or diagnosis.why_no_clients(nodes, jobs[0]["TaskGroups"][0]["Tasks"][0]["Driver"])
        if reason is None:
            full = [ask("node", "status", "-json", one["ID"]) for one in nodes if one["Status"] == "ready"]
            reason = diagnosis.why_too_small(jobs, full)
            for release in {said(job)["release"] for job in jobs}:
                for place in (Path(release), ROOT / ".artifacts" / f"release-{Path(release).name}"):
                    made = place / "release.json"
                    if reason is None and made.is_file():
                        reason = diagnosis.why_wrong_release(
                            release, json.loads(made.read_text("utf-8")), full
                        )
        if reason is not None:
            raise DeployError(reason)

    def run(self, names: Sequence[str], *, plan: bool = False) -> None:
        """Deploy, or with `plan` show what would change. Raises DeployError at the first job that fails."""
        self.check(names)
        for name in names:
            words, kept = self.filled(name)
            code, text = nomad("job", "plan", *words, fine=(0, 1), kept=kept)
            reason = diagnosis.why_not_placed(text)
            if reason is not None:
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
            mine = [one for one in ask("job", "allocs", "-json", name) or [] if one["JobVersion"] == version]
            latest = ask("job", "deployments", "-json", "-latest", name) or {}
            if latest.get("JobVersion", version) > version:
                raise DeployError(f"{name}: somebody else changed it meanwhile: `nomad job history {name}`")
            status = latest.get("Status") if latest.get("JobVersion") == version else None
            if status == "successful":
                print(f"{name}: healthy", flush=True)
                return
            for one, doomed in ((one, diagnosis.why_doomed(one)) for one in mine):
                if doomed is not None:
                    raise DeployError(f"{name}: {give_up(latest if status else {}, one, *doomed)}")
            if status in {"failed", "cancelled"} or time.monotonic() > end_s:
                why = latest["StatusDescription"] if status else "no deployment"
                raise DeployError(f"{name}: not healthy: {why}; {diagnosis.last_said(mine)}")
            time.sleep(1.0)


def registered(name: str, answer: str) -> int:
    """The version that `nomad job run` made of a job: not the newest, which may be somebody else's already."""
    made = ask("eval", "status", "-json", re.findall(r"Evaluation ID: (\S+)", answer)[0])
    versions, index = ask("job", "history", "-json", name), made["JobModifyIndex"]
    return max(int(one["Version"]) for one in versions if one["JobModifyIndex"] <= index)


def give_up(deployment: Json, allocation: Json, task: str, reason: str) -> str:
    """End a deployment that cannot succeed, so that Nomad goes back now; the sentence of why."""
    words = ("alloc", "logs", "-stderr", "-tail", "-n", "5", allocation["ID"], task)
    last = nomad(*words, fine=(0, 1))[1].strip()  # none where it never started
    if deployment.get("Status") == "running":
        nomad("deployment", "fail", "-detach", deployment["ID"], fine=(0, 1))
    back = "the old version goes on serving" if allocation["JobVersion"] else "there was no older version"
    lines = "".join(f"\n    {line}" for line in last.splitlines())
    where = f"{back}. Instance {allocation['ID'][:8]} on {allocation['NodeName']}, task {task}"
    return f"{where}: {reason}.{lines}\n  More: nomad alloc status {allocation['ID'][:8]}"


def main(argv: Sequence[str]) -> int:
    """0: every job is healthy (or the plan was shown). 1: it is not, and why was said. 2: a wrong argument."""
    known, all_of_them = (*ORDER, *OPTIONAL), " ".join(ORDER)
    parser = argparse.ArgumentParser("scripts/deploy", description=__doc__, epilog="More: docs/cluster.md.")
    add = parser.add_argument
    add("jobs", nargs="*", metavar="JOB", help=f"only these of {' '.join(known)} (default: {all_of_them})")
    add("--plan", action="store_true", help="show what would change, change nothing")
    add("--vars", metavar="NAME", help="a file of jobs/vars (cluster), or a path")
    add("--var", metavar="[JOB.]NAME=VALUE", action="append", default=[], help="one variable; repeatable")
    add("--with", dest="extra", choices=OPTIONAL, action="append", default=[], help="an optional job too")
    add("--deadline", metavar="SECONDS", type=float, default=600.0, help="patience with each job (600)")
    options = parser.parse_args(argv)
    names = options.jobs or [*ORDER, *options.extra]
    wrong = [one for one in names if one not in known] + [one for one in options.var if "=" not in one]
    if wrong:
        parser.error(f"{wrong[0]}: no such job, or no NAME=VALUE")
    named = options.vars or ""
    file = Path(named if "/" in named else JOBS / "vars" / f"{named}.hcl") if named else None
    told = dict(one.split("=", 1) for one in options.var)
    try:
        Deployment(file, told, options.deadline).run(names, plan=options.plan)
    except (DeployError, FileNotFoundError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
