"""scripts/deploy: every job, in order, each healthy before the next."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.cluster import diagnosis, submit
from scripts.cluster.jobfile import JobFile, JobFileError, read_job
from scripts.cluster.nomad import Nomad, NomadError
from scripts.cluster.patience import Patience
from scripts.cluster.values import Values

JOBS = Path(__file__).resolve().parents[2] / "jobs"
ORDER = ("kvstore", "bootstrap", "kvfront", "drone-sim", "dispatcher", "gateway", "lb")
OPTIONAL = ("prometheus", "locust")

_EPILOG = """
NOMAD_ADDR, NOMAD_TOKEN and NOMAD_CACERT say which Nomad, as for the nomad program.

examples:
  scripts/deploy                                   the machines of the Vagrantfile
  scripts/deploy --plan                            what that would change
  scripts/deploy --vars one-machine                a single `nomad agent -dev`
  scripts/deploy --with prometheus --with locust   the optional jobs too
  scripts/deploy --var gateway.instances=5         one variable of one job
"""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Brings `names` to what the job files and `values` say."""

    nomad: Nomad
    values: Values
    say: Callable[[str], None]
    patience: Patience
    jobs: Path = JOBS

    def files(self, names: Sequence[str]) -> list[JobFile]:
        """The job files as written. Raises JobFileError, also for a typed value that none of them takes."""
        files = [read_job(self.jobs, name) for name in names]
        self.values.check(files)
        return files

    def filled(self, file: JobFile) -> JobFile:
        """`file` with its values, the running release and generation kept."""
        values = self.values.of(file, self.nomad.job(file.name))
        if file.name == "bootstrap" and "replicas" not in values:
            kvstore = read_job(self.jobs, "kvstore")
            values["replicas"] = self.values.of(kvstore).get(
                "instances", kvstore.variables["instances"].literal
            )
        return file.filled(values)

    def check_cluster(self, file: JobFile) -> None:
        """Raises NotHealthy when no client could run `file`, whatever its counts."""
        nodes = self.nomad.nodes()
        reason = diagnosis.why_no_cluster(nodes)
        if reason is None:
            full = [self.nomad.node(str(node["ID"])) for node in nodes if node.get("Status") == "ready"]
            driver = self.filled(file).variables["driver"].literal.strip('"')
            reason = diagnosis.why_no_consul(full) or diagnosis.why_no_driver(full, driver)
        if reason is not None:
            raise submit.NotHealthy(reason)

    def plan(self, names: Sequence[str]) -> None:
        """Say what a deployment would change; change nothing."""
        for file in self.files(names):
            proposal = submit.propose(self.nomad, self.filled(file))
            self.say(f"{file.name}: {diagnosis.describe_plan(proposal.plan)}")
            if (proposal.plan.get("Diff") or {}).get("Type") == "Edited":
                for line in diagnosis.describe_fields(proposal.plan["Diff"]):
                    self.say(f"    {line}")
            missing = diagnosis.why_not_placed(proposal.plan.get("FailedTGAllocs") or {})
            if missing is not None:
                self.say(f"    would not fit: {missing}")

    def run(self, names: Sequence[str], *, keep_counts: bool = True) -> None:
        """Deploy. Raises NotHealthy or NomadError at the first job that does not become healthy."""
        files = self.files(names)
        self.check_cluster(files[0])
        waiting: list[tuple[str, int]] = []
        for file in files:
            proposal = submit.propose(self.nomad, self.filled(file))
            self.say(f"{file.name}: {diagnosis.describe_plan(proposal.plan)}")
            version = submit.register(self.nomad, proposal, self.patience, keep_counts=keep_counts)
            if file.name == "kvstore" and "bootstrap" in names:
                # A replica is ready when it is in a view, and bootstrap writes the first one: healthy comes after it.
                submit.wait_running(self.nomad, file.name, version, self.patience)
                waiting.append((file.name, version))
                continue
            if proposal.job.get("Type") == "batch":
                submit.wait_complete(self.nomad, file.name, version, self.patience)
            else:
                waiting.append((file.name, version))
            for name, wanted in waiting:
                submit.wait_healthy(self.nomad, name, wanted, self.patience)
                self.say(f"{name}: healthy")
            waiting.clear()


def addresses(nomad: Nomad) -> list[str]:
    """Where a person finds the system: the machines of the lb and of the optional web pages."""
    shown = {"lb": ("dashboard", "/dashboard"), "prometheus": ("Prometheus", "/"), "locust": ("Locust", "/")}
    lines = []
    for name, (title, path) in shown.items():
        for allocation in nomad.allocations(name) if nomad.job(name) is not None else []:
            if allocation.get("ClientStatus") != "running" or allocation.get("DesiredStatus") != "run":
                continue
            full: Mapping[str, Any] = nomad.call("GET", f"/v1/allocation/{allocation['ID']}")
            shared = (full.get("AllocatedResources") or {}).get("Shared") or {}
            public = [port for port in shared.get("Ports") or [] if port.get("Label") == "http"]
            lines += [f"{title:<12} http://{port['HostIP']}:{port['Value']}{path}" for port in public]
    return lines


def variables_file(name: str | None) -> Path | None:
    """`vagrant` -> jobs/vars/vagrant.hcl; a path stays one."""
    if name is None:
        return None
    return JOBS / "vars" / f"{name}.hcl" if "/" not in name and not name.endswith(".hcl") else Path(name)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        "scripts/deploy",
        description="Deploy DroneDispatch on a Nomad cluster: every job in order, each healthy before the next.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"only these (default: {' '.join(ORDER)})")
    parser.add_argument("--plan", action="store_true", help="show what would change, change nothing")
    parser.add_argument("--vars", metavar="NAME", help="a file of jobs/vars (vagrant, one-machine) or a path")
    parser.add_argument(
        "--var", metavar="[JOB.]NAME=VALUE", action="append", default=[], help="one variable; repeatable"
    )
    parser.add_argument(
        "--with",
        dest="extra",
        choices=OPTIONAL,
        action="append",
        default=[],
        help="an optional job too; repeatable",
    )
    parser.add_argument(
        "--reset-counts", action="store_true", help="undo `nomad job scale`: counts as the job files say"
    )
    parser.add_argument(
        "--deadline",
        metavar="SECONDS",
        type=float,
        default=300.0,
        help="patience with each job (default 300)",
    )
    return parser


def main(argv: Sequence[str], environ: Mapping[str, str], *, interval_s: float = 1.0) -> int:
    """0: every job is healthy (or the plan was shown). 1: what is wrong was said. 2: a wrong argument."""
    options = arguments().parse_args(argv)
    names = options.jobs or [*ORDER, *options.extra]
    nomad = Nomad.from_environment(environ)
    try:
        values = Values.read(variables_file(options.vars), options.var)
        deployment = Deployment(
            nomad, values, lambda line: print(line, flush=True), Patience(options.deadline, interval_s)
        )
        if options.plan:
            deployment.plan(names)
            return 0
        deployment.run(names, keep_counts=not options.reset_counts)
        for line in addresses(nomad):
            print(line)
    except JobFileError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    except (NomadError, submit.NotHealthy) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
