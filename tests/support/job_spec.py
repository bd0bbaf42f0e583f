"""A Nomad job file parsed by python-hcl2, quotes and block markers taken off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import hcl2

_MARKS = {"__is_block__", "__comments__", "__inline_comments__"}

Block = dict[str, Any]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {_unquoted(key): _plain(inner) for key, inner in value.items() if key not in _MARKS}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return _unquoted(value) if isinstance(value, str) else value


def _unquoted(text: str) -> str:
    return text[1:-1].replace('\\"', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text


def parse(text: str) -> Block:
    """Any HCL text as dictionaries and lists; references stay as `${...}`."""
    return cast("Block", _plain(hcl2.loads(text)))


def seconds(text: str) -> float:
    """Nomad's durations as the job files write them: "500ms", "20s", "5m", "15d"."""
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return float(number) * factor
    raise ValueError(f"{text!r} is no duration")


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job file. The blocks that ours have once are properties, and missing ones are KeyErrors."""

    path: Path
    root: Block

    @classmethod
    def read(cls, path: Path) -> JobSpec:
        return cls(path, parse(path.read_text(encoding="utf-8")))

    @property
    def name(self) -> str:
        """The name of the file, which is that of the job."""
        return self.path.name.removesuffix(".nomad.hcl")

    @property
    def job(self) -> Block:
        return cast("Block", self.root["job"][0][self.name])

    @property
    def group(self) -> Block:
        (group,) = self.job["group"][0].values()
        return cast("Block", group)

    @property
    def tasks(self) -> dict[str, Block]:
        return {name: block for one in self.group["task"] for name, block in one.items()}

    @property
    def task(self) -> Block:
        """The task that is called like the job."""
        return self.tasks[self.name]

    @property
    def service(self) -> Block:
        (service,) = self.group["service"]
        return cast("Block", service)

    @property
    def update(self) -> Block:
        (update,) = self.job["update"]
        return cast("Block", update)

    @property
    def variables(self) -> dict[str, Block]:
        return {name: block for one in self.root["variable"] for name, block in one.items()}

    @property
    def env(self) -> dict[str, str]:
        """The environment that the task's env block gives."""
        return cast("dict[str, str]", self.task["env"][0])

    def dynamic(self, block: str) -> Block:
        """The `dynamic` block of that name, of the task or of the group."""
        found = [
            one[block]
            for one in [*self.task.get("dynamic", []), *self.group.get("dynamic", [])]
            if block in one
        ]
        return cast("Block", found[0])

    @property
    def ports(self) -> dict[str, int | None]:
        """Port labels and their static numbers (None: dynamic)."""
        labelled = [port for network in self.group.get("network", []) for port in network["port"]]
        return {label: block.get("static") for port in labelled for label, block in port.items()}
