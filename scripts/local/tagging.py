"""`scripts/release --tag`: the changelog's "Unreleased" becomes a section of the version, which is committed and tagged."""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scripts.local.home import CHECKOUT
from scripts.local.trouble import Trouble, run_command

VERSION = re.compile(r"\d+\.\d+\.\d+")
_UNRELEASED = "## [Unreleased]"
_NUMBER = re.compile(r'^version = "(.*)"$', re.MULTILINE)


def released(changelog: str, version: str, day: str) -> tuple[str, str]:
    """(the changelog with a section for `version`, that section's text). Raises Trouble when there is nothing to release."""
    head, mark, rest = changelog.partition(f"{_UNRELEASED}\n")
    if not mark:
        raise Trouble(f"CHANGELOG.md has no line '{_UNRELEASED}': write what changed below one")
    if f"## [{version}]" in rest:
        raise Trouble(f"CHANGELOG.md has a section of {version} already: choose the next version")
    section, older = rest, ""
    if (following := re.search(r"^## \[", rest, re.MULTILINE)) is not None:
        section, older = rest[: following.start()], rest[following.start() :]
    if not section.strip():
        raise Trouble(f"nothing stands below '{_UNRELEASED}' in CHANGELOG.md: there is nothing to release")
    text = section.strip()
    return f"{head}{_UNRELEASED}\n\n## [{version}] - {day}\n\n{text}\n{older and chr(10)}{older}", text


def numbered(pyproject: str, version: str) -> str:
    """pyproject.toml with `version` as the package's."""
    return _NUMBER.sub(f'version = "{version}"', pyproject, count=1)


def tag(root: Path, version: str, day: str) -> str:
    """Commit and tag in the repository at `root`; one sentence of what was done. Raises Trouble, with nothing changed."""
    if VERSION.fullmatch(version) is None:
        raise Trouble(f"{version} is no version: three numbers are wanted, e.g. 0.2.0")
    name = f"v{version}"
    if _git(root, "tag", "--list", name):
        raise Trouble(f"the tag {name} exists already: choose the next version")
    if changed := _git(root, "status", "--porcelain"):
        raise Trouble(
            f"there are changes that are not committed ({changed.splitlines()[0].strip()}): commit them first"
        )
    changelog, pyproject = root / "CHANGELOG.md", root / "pyproject.toml"
    text, section = released(changelog.read_text(encoding="utf-8"), version, day)
    changelog.write_text(text, encoding="utf-8")
    pyproject.write_text(numbered(pyproject.read_text(encoding="utf-8"), version), encoding="utf-8")
    _git(root, "add", "CHANGELOG.md", "pyproject.toml")
    body = f"What changed since the last release:\n\n{section}"
    _git(root, "commit", "-q", "-m", f"release: {version}", "-m", body)
    # Headings of the changelog begin with the sign that git takes for a comment.
    _git(root, "tag", "--annotate", "--cleanup=whitespace", name, "-m", f"{version}\n\n{section}")
    return f"tagged {name}: git push --follow-tags"


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Trouble(f"git {arguments[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def main(argv: Sequence[str] | None = None) -> None:
    """Ends the process; 1 when nothing could be tagged."""
    parser = argparse.ArgumentParser(prog="scripts/release --tag", description=__doc__)
    parser.add_argument("version", help="three numbers, e.g. 0.2.0")
    parsed = parser.parse_args(argv)

    def command() -> int:
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        print(f"release: {tag(CHECKOUT, parsed.version, day)}")
        return 0

    run_command(command, lambda: CHECKOUT)


if __name__ == "__main__":
    main()
