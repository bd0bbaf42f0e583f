"""scripts/rollout: one job to another release, or to another generation of tokens, gated by its health."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence

from scripts.cluster import submit
from scripts.cluster.deploy import OPTIONAL, ORDER, Deployment, variables_file
from scripts.cluster.jobfile import JobFileError
from scripts.cluster.nomad import Nomad, NomadError
from scripts.cluster.patience import Patience
from scripts.cluster.values import Values

_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        "scripts/rollout",
        description="Update one job to another installed release: a canary first where the job has one, then one by one; "
        "back by itself when the new release does not become healthy.",
        epilog="example: scripts/rollout gateway 0.2.0   (a release that provisioning has installed)",
    )
    parser.add_argument(
        "name", choices=[name for name in (*ORDER, *OPTIONAL) if name != "bootstrap"], help="the job"
    )
    parser.add_argument("version", help="the release, as its folder below /opt/dronedispatch is called")
    parser.add_argument("--vars", metavar="NAME", help="the file of jobs/vars that it was deployed with")
    parser.add_argument("--plan", action="store_true", help="show what would change, change nothing")
    parser.add_argument(
        "--deadline", metavar="SECONDS", type=float, default=900.0, help="patience (default 900)"
    )
    return parser


def main(argv: Sequence[str], environ: Mapping[str, str], *, interval_s: float = 1.0) -> int:
    """0: the job runs the release. 1: it does not, and why was said. 2: a wrong argument."""
    options = arguments().parse_args(argv)
    nomad = Nomad.from_environment(environ)
    try:
        if not _RELEASE.fullmatch(options.version):
            raise JobFileError(f"{options.version!r} is no name of a release")
        values = Values.read(variables_file(options.vars), [f"{options.name}.release={options.version}"])
        deployment = Deployment(
            nomad, values, lambda line: print(line, flush=True), Patience(options.deadline, interval_s)
        )
        if options.plan:
            deployment.plan([options.name])
            return 0
        if nomad.job(options.name) is None:
            raise NomadError(f"{options.name} does not run: scripts/deploy starts it")
        deployment.run([options.name])
    except JobFileError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    except (NomadError, submit.NotHealthy) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
