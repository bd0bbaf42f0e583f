"""Which value each variable of each job gets: its default, a file of variables, what runs, what was typed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.cluster.jobfile import JobFile, JobFileError, literal, read_values

KEPT = ("release", "generation")  # what a later deployment does not change unless it is told to
_TYPED = re.compile(r"(?:(?P<job>[a-z-]+)\.)?(?P<name>[a-z_]+)=(?P<text>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Values:
    """`shared` (HCL) holds for every job; `typed` are (job or None, variable, text), later ones winning."""

    shared: Mapping[str, str] = field(default_factory=dict)
    typed: tuple[tuple[str | None, str, str], ...] = ()

    @classmethod
    def read(cls, variables: Path | None, typed: Iterable[str]) -> Values:
        """From a file of variables and `[job.]name=value` words. Raises JobFileError."""
        parsed = []
        for word in typed:
            match = _TYPED.fullmatch(word)
            if match is None:
                raise JobFileError(f"--var {word}: expected name=value or job.name=value")
            parsed.append((match["job"], match["name"], match["text"]))
        return cls({} if variables is None else read_values(variables), tuple(parsed))

    def check(self, jobs: Iterable[JobFile]) -> None:
        """Raises JobFileError for a typed value that no job of `jobs` would take, or that has not its variable's type."""
        known = {job.name: job.variables for job in jobs}
        for job, name, text in self.typed:
            if job is not None and job not in known:
                raise JobFileError(
                    f"--var {job}.{name}: no job {job!r} is deployed; there are {', '.join(sorted(known))}"
                )
            takers = [known[job]] if job is not None else list(known.values())
            declared = [taker[name] for taker in takers if name in taker]
            if not declared:
                names = sorted({each for taker in takers for each in taker})
                raise JobFileError(f"--var {name}: no such variable; there are {', '.join(names)}")
            for variable in declared:
                literal(variable, text)

    def of(self, job: JobFile, running: Mapping[str, Any] | None = None) -> dict[str, str]:
        """The HCL literals for `job`; `running` is the job as Nomad has it now, whose release and generation stay."""
        declared = job.variables
        values = dict(self.shared)
        meta = (running or {}).get("Meta") or {}
        values |= {
            name: literal(declared[name], meta[name]) for name in KEPT if name in meta and name in declared
        }
        for wanted, name, text in self.typed:
            if name in declared and wanted in {None, job.name}:
                values[name] = literal(declared[name], text)
        return values
