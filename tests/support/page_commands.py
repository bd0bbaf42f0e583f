"""The commands that the pages tell people to type, and where a test types them.

A block that opens with ```bash is executed by a test, word for word; one that opens with ```sh is not, and its first line
says so and why.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from scripts.local.home import CHECKOUT

PAGES = ("README.md", "CONTRIBUTING.md", "docs/operations.md", "docs/cluster.md", "docs/tool.md")
NOT_EXECUTED = "# Not executed by a test: "
_BLOCK = re.compile(r"^```(bash|sh|console|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Blocks that the live test does not type: (the file that does, what it says there).
ELSEWHERE = {
    "scripts/up --speed 20 --orders-per-minute 20": ("tests/integration/test_starts.py", ".attached("),
    "scripts/test": (".ci/run", "scripts/test"),
    ".venv/bin/python -m pytest tests/unit/lb/test_lb_heads.py": (
        "tests/house/test_house_commands.py",
        "CONTRIBUTING.md",
    ),
    '.venv/bin/python -m pytest tests/unit/lb/test_lb_chunked.py -k "64_kib or given_back" -x': (
        "tests/house/test_house_commands.py",
        "CONTRIBUTING.md",
    ),
}


class Block(NamedTuple):
    """A fenced block of shell commands: its page, its language and its text without the fences."""

    page: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its lines without comments, continued lines joined."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"\s+#\s.*$", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def blocks(page: str) -> list[Block]:
    """The shell blocks of a page, in its order."""
    text = Path(CHECKOUT / page).read_text(encoding="utf-8")
    return [Block(page, language, body) for language, body in _BLOCK.findall(text)]


def typed_by_the_live_test() -> list[Block]:
    """The blocks that tests/integration/test_pages.py runs on a system of its own, in this order."""
    every = [block for page in ("docs/operations.md", "README.md") for block in blocks(page)]
    return [
        block
        for block in every
        if block.language == "bash" and not any(command in ELSEWHERE for command in block.commands)
    ]
