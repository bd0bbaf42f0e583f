"""scripts/rotate-tokens: new bearer tokens without a refused request.

Three rolling updates: every process accepts the new token beside the old one, then shows the new one, then forgets the old.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence

from scripts.cluster import submit
from scripts.cluster.access import SECRETS_KEY
from scripts.cluster.consul import Consul, ConsulError
from scripts.cluster.deploy import OPTIONAL, ORDER, Deployment, variables_file
from scripts.cluster.jobfile import JobFileError
from scripts.cluster.nomad import Nomad, NomadError
from scripts.cluster.patience import Patience
from scripts.cluster.secrets import BEARER
from scripts.cluster.values import Values


def steps(old: str, new: str) -> tuple[str, str, str]:
    """What the token's file holds in the three updates: the first line is shown, each line is accepted."""
    return f"{old}\n{new}", f"{new}\n{old}", new


def running(nomad: Nomad) -> list[str]:
    """The jobs that read tokens and run."""
    return [
        name
        for name in (*ORDER, *OPTIONAL)
        if name not in {"bootstrap", "locust"} and nomad.job(name) is not None
    ]


def generation(nomad: Nomad, names: Sequence[str]) -> int:
    """One above every generation that runs."""
    metas = [(nomad.job(name) or {}).get("Meta") or {} for name in names]
    return 1 + max((int(meta.get("generation", 1)) for meta in metas), default=1)


def rotate(
    consul: Consul, nomad: Nomad, vars_name: str | None, patience: Patience, say: Callable[[str], None]
) -> None:
    """Rotate every bearer token, a job at a time. An interrupted rotation is finished by the next one.

    Raises ConsulError, NomadError or NotHealthy; until the third update every old token is still accepted.
    """
    names = running(nomad)
    if not names:
        raise NomadError("no job runs: scripts/deploy starts them with the tokens that are there")
    shown = {}
    for name in BEARER:
        found = (consul.get(f"{SECRETS_KEY}{name}") or "").split()
        if not found:
            raise ConsulError(
                f"{SECRETS_KEY}{name} is not in Consul: vagrant provision --provision-with access"
            )
        shown[name] = found[0]
    fresh = {name: secrets.token_urlsafe(32) for name in BEARER}
    first = generation(nomad, names)
    words = ("accepting the new tokens", "showing the new tokens", "forgetting the old tokens")
    for number, word in enumerate(words):
        say(word)
        for name in BEARER:
            consul.put(f"{SECRETS_KEY}{name}", steps(shown[name], fresh[name])[number])
        values = Values.read(variables_file(vars_name), [f"generation={first + number}"])
        Deployment(nomad, values, say, patience).run(names)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """0: every token is new. 1: it is not, and why was said. 2: a wrong argument."""
    parser = argparse.ArgumentParser("scripts/rotate-tokens", description=__doc__)
    parser.add_argument(
        "--vars", metavar="NAME", help="the file of jobs/vars that the jobs were deployed with"
    )
    parser.add_argument(
        "--deadline", metavar="SECONDS", type=float, default=900.0, help="patience with each job"
    )
    options = parser.parse_args(argv)
    try:
        consul, nomad = Consul.from_environment(environ), Nomad.from_environment(environ)
        patience = Patience(options.deadline)
        rotate(consul, nomad, options.vars, patience, lambda line: print(line, flush=True))
    except JobFileError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    except (ConsulError, NomadError, submit.NotHealthy) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
