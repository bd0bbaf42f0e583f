"""Pinned requirements for another machine than this one: environment markers decided for it, not for whoever downloads.

pip evaluates markers for the interpreter that runs it, and Debian 12's Python 3.11.2 needs a package that 3.11.7 does not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.markers import Marker

_PIN = re.compile(r"^(?P<pin>[A-Za-z0-9._-]+==[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))?(?P<rest> \\)?$")


def target(python: str, machine: str) -> dict[str, str]:
    """The environment of a Linux machine with CPython `python` ("3.11.2")."""
    return {
        "implementation_name": "cpython",
        "implementation_version": python,
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": python,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "linux",
    }


def resolve(text: str, environment: Mapping[str, str]) -> str:
    """`text` (a requirements file with hashes) without markers, and without what `environment` does not need."""
    kept: list[str] = []
    wanted = False
    for line in text.splitlines():
        match = _PIN.match(line)
        if match is not None:
            marker = match["marker"]
            wanted = marker is None or Marker(marker).evaluate(dict(environment))
            if wanted:
                kept.append(match["pin"] + (match["rest"] or ""))
        elif wanted and line.startswith("    --hash="):
            kept.append(line)
    return "\n".join(kept) + "\n"


def main(argv: Sequence[str]) -> int:
    """pins REQUIREMENTS PYTHON MACHINE: the resolved requirements on standard output."""
    path, python, machine = argv
    sys.stdout.write(resolve(Path(path).read_text(encoding="utf-8"), target(python, machine)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
