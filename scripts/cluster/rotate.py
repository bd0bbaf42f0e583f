"""scripts/rotate-tokens: new bearer tokens in three rolling updates, in which every process accepts what the others show.

An interrupted one is finished by the next. Who is stopped is given the new ones too; Prometheus reads its at each scrape.
"""

from __future__ import annotations

import argparse
import json
import secrets
from collections.abc import Sequence

from scripts.cluster.deploy import ORDER, DeployError, Deployment, ask, nomad, running, said
from scripts.cluster.secrets import BEARER, GIVEN


def steps(held: str, new: str, accepts: bool) -> tuple[str, str, str]:
    """What a token's variable holds at each step: the first is shown, each accepted; who accepts none shows one."""
    return (f"{held}\n{new}", f"{new}\n{held}", new) if accepts else (held.split()[0], new, new)


def put(job: str, items: dict[str, str]) -> None:
    """Write a job's Nomad Variable; the values stand on no command line."""
    given = json.dumps({"Path": f"nomad/jobs/{job}", "Items": items})
    nomad("var", "put", "-force", "-in=json", "-out=none", "-", given=given)


def rotate() -> None:
    """Rotate every bearer token, a job at a time. Raises DeployError; what a variable held is accepted until the end."""
    jobs = {name: job for name in ORDER if (job := running(name)) is not None}
    if not jobs:
        raise DeployError("no job runs: scripts/deploy starts them with the tokens that are there")
    there = {one["Path"].rpartition("/")[2] for one in ask("var", "list", "-out=json", "nomad/jobs/")}
    names = sorted({*jobs, *there & {*GIVEN}})
    items = {name: ask("var", "get", "-out=json", f"nomad/jobs/{name}")["Items"] for name in names}
    new = {key: secrets.token_urlsafe(32) for key in BEARER}
    first = 1 + max(int(said(job).get("generation", 1)) for job in jobs.values())
    for number, word in enumerate(("accept the new tokens too", "show the new ones", "forget the old ones")):
        print(word, flush=True)
        for name, kept in items.items():
            put(name, kept | {k: steps(kept[k], new[k], name in ORDER)[number] for k in new if k in kept})
        Deployment(told={"generation": str(first + number)}).run([name for name in ORDER if name in jobs])


def main(argv: Sequence[str]) -> int:
    """0: every token is new. Raises DeployError when one is not."""
    argparse.ArgumentParser("scripts/rotate-tokens", description=__doc__).parse_args(argv)
    rotate()
    return 0
