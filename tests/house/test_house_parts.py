"""One table of the programs that the suites start: what is installed from it is what the documents show."""

from __future__ import annotations

import re

from scripts.local.home import CHECKOUT
from scripts.local.suites import NAMES

COMMANDS = {"up", "check", "test", "bench"}


def rows() -> list[tuple[str, str, str, tuple[str, ...]]]:
    text = (CHECKOUT / "scripts" / "setup" / "parts").read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [(program, package, step, tuple(users)) for program, package, step, *users in lines]


def test_the_documents_show_the_table_that_is_installed_from() -> None:
    shown = [
        (
            program.strip("`") if program != "(no program)" else "-",
            package.strip("`"),
            step.strip("`").removeprefix("scripts/setup/"),
            tuple(users.split(", ")),
        )
        for program, package, step, users in re.findall(
            r"^\| (\S+|\(no program\)) \| (`[\w-]+`) \| (`scripts/setup/[\w-]+`) \| (.+) \|$",
            (CHECKOUT / "docs" / "testing.md").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    ]
    assert shown == rows()


def test_every_row_names_a_step_that_exists_and_somebody_who_uses_it() -> None:
    for program, _, step, users in rows():
        assert (CHECKOUT / "scripts" / "setup" / step).is_file(), program
        assert users, program
        assert set(users) <= {*NAMES, *COMMANDS}, program


def test_no_package_is_named_by_the_set_up_outside_the_table() -> None:
    packages = {package for _, package, _, _ in rows()}
    steps = [path for path in (CHECKOUT / "scripts" / "setup").iterdir() if path.name != "parts"]
    named = {
        word
        for path in steps
        for line in re.findall(r"^\s*apt_install_quiet ([\w -]+)$", path.read_text(encoding="utf-8"), re.M)
        for word in line.split()
    }
    assert named
    assert named <= packages
