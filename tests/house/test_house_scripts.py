"""What the README tells people to type exists and explains itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support.commands import ran

COMMAND = re.compile(r"(?<![\w/.-])((?:scripts|tests|\.ci)/[\w./-]*[\w-])")


def executables() -> list[Path]:
    rooms = (CHECKOUT / "scripts", CHECKOUT / "scripts" / "setup")
    return [
        path
        for room in rooms
        for path in sorted(room.iterdir())
        if path.is_file() and os.access(path, os.X_OK)
    ]


def first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.parametrize("script", executables(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_script_explains_itself(script: Path) -> None:
    done = ran([script, "--help"], cwd="/")
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()
    assert len(done.stdout.splitlines()) >= 4


@pytest.mark.parametrize("script", executables(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_what_a_user_has_set_for_his_shell_and_his_python_changes_no_script(script: Path) -> None:
    """A CDPATH makes `cd` print and go elsewhere; a PYTHONHOME keeps another Python from starting."""
    done = ran(
        [script.relative_to(CHECKOUT), "--help"],
        {**os.environ, "CDPATH": ".", "PYTHONHOME": "/nowhere"},
        cwd=CHECKOUT,
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


@pytest.mark.parametrize("script", executables(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_a_wrong_option_is_refused(script: Path) -> None:
    done = ran([script, "--no-such-option"], cwd="/")
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)


def test_every_script_at_the_top_is_executable_and_says_by_what() -> None:
    files = [path for path in (CHECKOUT / "scripts").iterdir() if path.is_file()]
    assert [
        path.name for path in files if not os.access(path, os.X_OK) or not first_line(path).startswith("#!")
    ] == []


def test_every_command_of_the_documents_exists() -> None:
    missing = []
    for document in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        text = (CHECKOUT / document).read_text(encoding="utf-8")
        missing += [(document, name) for name in COMMAND.findall(text) if not (CHECKOUT / name).exists()]
    assert missing == []


def test_ci_runs_the_commands_of_the_readme_and_nothing_else() -> None:
    lines = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    work = [line for line in lines if line and not line.startswith(("#", "set ", "cd ", "export "))]
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert work
    assert all(line in readme for line in work)
