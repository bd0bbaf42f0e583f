"""What Nomad's client does to a job file's text before a process starts: references, choices, templates.

Only the forms that our job files use; anything else is an error that names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scripts.cluster.jobspec import Block, JobSpec

_REFERENCE = re.compile(r"(?<!\$)\$\{([A-Za-z_.]+)\}")
_CHOICE = re.compile(
    r'\$\{(?P<name>[a-z_.]+)(?: == "(?P<value>[^"]*)")? \? "(?P<yes>.*?)" : "(?P<no>.*)"\}', re.DOTALL
)
_KEY = re.compile(r'\{\{ key(?:OrDefault)? "(?P<key>[^"]+)"(?: "")? \}\}')
_ONLY_WITH_A_TOKEN = re.compile(r"\{\{ with keyOrDefault [^}]+\}\}(?P<text>.*)\{\{ end \}\}")
_VARIABLE = re.compile(r'\{\{ env "(?P<name>[A-Z_]+)" \}\}')


class ExpandError(ValueError):
    """A job file has a form that is not known here; the message names it."""


def values(spec: JobSpec, told: Mapping[str, str]) -> dict[str, str]:
    """`told` (NOMAD_..., node...) and the job's own variables (var.x) and locals (local.x), as text."""
    known = dict(told) | {f"var.{name}": _text(block["default"]) for name, block in spec.variables.items()}
    for block in spec.root.get("locals", []):
        for name, text in block.items():
            known[f"local.{name}"] = fill(spec.name, text, known)
    return known


def fill(job: str, value: Any, known: Mapping[str, str]) -> str:
    """`value` of a job file with every reference replaced. Raises ExpandError for one that is not known."""
    text = _text(value)
    choice = _CHOICE.fullmatch(text)
    if choice is not None:
        chosen = _known(job, choice["name"], known) == (
            "true" if choice["value"] is None else choice["value"]
        )
        text = (choice["yes"] if chosen else choice["no"]).replace("$${", "${")
    filled = _REFERENCE.sub(lambda match: _known(job, match[1], known), text)
    if "${" in filled or "%{" in filled:
        raise ExpandError(f"{job}: {filled!r} is a form of HCL that is not known here")
    return filled


def _known(job: str, name: str, known: Mapping[str, str]) -> str:
    try:
        return known[name]
    except KeyError:
        raise ExpandError(f"{job}: nothing is known of {name}") from None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def secret_keys(spec: JobSpec) -> dict[str, str]:
    """File in the secrets' folder -> key of Consul's KV, by the job's templates."""
    keys = {}
    for destination, template in spec.templates.items():
        if template.get("env"):
            continue
        match = _KEY.fullmatch(template["data"])
        if match is None or not destination.startswith("secrets/"):
            raise ExpandError(f"{spec.name}: the template {destination} is not one secret from Consul")
        keys[destination.removeprefix("secrets/")] = match["key"]
    return keys


def template_environment(spec: JobSpec, known: Mapping[str, str]) -> dict[str, str]:
    """The variables that templates with `env = true` give where Consul has ACLs, as provisioned machines have."""
    given: dict[str, str] = {}
    for template in spec.templates.values():
        if template.get("env"):
            given |= _assignments(spec.name, template, known)
    return given


def _assignments(job: str, template: Block, known: Mapping[str, str]) -> dict[str, str]:
    match = _ONLY_WITH_A_TOKEN.fullmatch(template["data"])
    if match is None:
        raise ExpandError(f"{job}: the template {template['destination']} is a form that is not known here")
    text = _VARIABLE.sub(lambda variable: _known(job, variable["name"], known), match["text"])
    return dict(line.split("=", 1) for line in text.splitlines() if line)
