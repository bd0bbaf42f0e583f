"""Job files as text: which variables they declare, and the same text with other values.

Nomad's HTTP parser takes variable values only since 1.4, and this must work from 1.1 on: so a value replaces the `default`
of its variable's block in the text that is sent. Types, functions and validation stay Nomad's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_VARIABLE = re.compile(r'^variable "(?P<name>[a-z_]+)" \{\n(?P<body>.*?)^\}\n', re.MULTILINE | re.DOTALL)
_DEFAULT = re.compile(r"^(?P<head> *default +=) (?P<literal>.*)$", re.MULTILINE)
_TYPE = re.compile(r"^ *type +=(?P<type>.*)$", re.MULTILINE)
_ASSIGNMENT = re.compile(r"^(?P<name>[a-z_]+)\s*=\s*(?P<literal>.+?)\s*(?:#.*)?$")


class JobFileError(ValueError):
    """A job file, a file of variables or a value given by hand is wrong; the message says which and how."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One declared variable; `literal` is its default as HCL."""

    name: str
    type: str
    literal: str


@dataclass(frozen=True, slots=True)
class JobFile:
    """One job: its name (that of the file) and its text."""

    name: str
    text: str

    @property
    def variables(self) -> dict[str, Variable]:
        """What the file declares, by name."""
        return {match["name"]: _variable(self.name, match) for match in _VARIABLE.finditer(self.text)}

    def filled(self, literals: Mapping[str, str]) -> JobFile:
        """The same job with `literals` (HCL) as the values of its variables.

        Raises JobFileError for a name that the file does not declare.
        """
        known = self.variables
        for name in literals:
            if name not in known:
                raise JobFileError(f"{self.name} has no variable {name!r}; it has {', '.join(sorted(known))}")

        def replace(match: re.Match[str]) -> str:
            literal = literals.get(match["name"])
            if literal is None:
                return match[0]
            return _DEFAULT.sub(lambda default: f"{default['head']} {literal}", match[0], count=1)

        return JobFile(self.name, _VARIABLE.sub(replace, self.text))


def _variable(job: str, match: re.Match[str]) -> Variable:
    default, kind = _DEFAULT.search(match["body"]), _TYPE.search(match["body"])
    if default is None or kind is None:
        raise JobFileError(f"variable {match['name']!r} of {job} wants a type and a default")
    return Variable(match["name"], kind["type"].strip(), default["literal"].strip())


def read_job(directory: Path, name: str) -> JobFile:
    """The job `name` of `directory`. Raises JobFileError, which lists the jobs that there are."""
    path = directory / f"{name}.nomad.hcl"
    if not path.is_file():
        there = sorted(other.name.removesuffix(".nomad.hcl") for other in directory.glob("*.nomad.hcl"))
        raise JobFileError(f"there is no job {name!r} in {directory}; there are {', '.join(there)}")
    return JobFile(name, path.read_text(encoding="utf-8"))


def read_values(path: Path) -> dict[str, str]:
    """The assignments of a file of variables, as HCL literals. One line each: that is all that ours hold."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise JobFileError(f"{path}: {exc.strerror}") from exc
    values: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _ASSIGNMENT.match(stripped)
        if match is None:
            raise JobFileError(f"{path}:{number}: expected `name = value`, found {stripped!r}")
        values[match["name"]] = match["literal"]
    return values


def literal(variable: Variable, text: str) -> str:
    """What somebody typed as the value of `variable`, as HCL. Raises JobFileError for a value that has not its type."""
    if variable.type == "bool":
        if text not in {"true", "false"}:
            raise JobFileError(f"{variable.name}={text}: expected true or false")
        return text
    if variable.type == "number":
        if not re.fullmatch(r"-?\d+(\.\d+)?", text):
            raise JobFileError(f"{variable.name}={text}: expected a number")
        return text
    if variable.type == "list(string)":
        return json.dumps([part.strip() for part in text.split(",") if part.strip()])
    if "${" in text or "%{" in text:
        raise JobFileError(f"{variable.name}={text}: a value is plain text, not a template")
    return json.dumps(text)
