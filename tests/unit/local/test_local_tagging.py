"""scripts/release --tag: what it makes of the changelog, and when it changes nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from scripts.local.tagging import released, tag
from scripts.local.trouble import Trouble

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- A thing.

## [0.1.0] - 2026-01-01

- The first.
"""


def git(root: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.invalid")
    return subprocess.run(
        ["git", *who, "-C", root, *arguments], capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@example.invalid")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n', encoding="utf-8")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "docs: a beginning")
    return tmp_path


def test_what_was_unreleased_becomes_a_section_above_the_older_ones() -> None:
    text, section = released(CHANGELOG, "0.2.0", "2026-02-03")

    assert section == "### Added\n\n- A thing."
    assert text == CHANGELOG.replace("## [Unreleased]", "## [Unreleased]\n\n## [0.2.0] - 2026-02-03")


def test_the_first_release_needs_no_older_section() -> None:
    text, _ = released("# Changelog\n\n## [Unreleased]\n\n- A thing.\n", "0.1.0", "2026-02-03")

    assert text == "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-02-03\n\n- A thing.\n"


def test_a_release_is_a_commit_and_a_tag_that_carries_its_section(repository: Path) -> None:
    said = tag(repository, "0.2.0", "2026-02-03")

    assert "v0.2.0" in said
    assert git(repository, "status", "--porcelain") == ""
    assert 'version = "0.2.0"' in (repository / "pyproject.toml").read_text(encoding="utf-8")
    assert git(repository, "log", "-1", "--format=%s").strip() == "release: 0.2.0"
    carried = git(repository, "tag", "--list", "--format=%(contents)", "v0.2.0")
    assert carried.startswith("0.2.0\n\n### Added\n\n- A thing.")


@pytest.mark.parametrize(
    ("version", "left", "reason"),
    [
        ("0.2", "", "three numbers"),
        ("0.1.0", "", "section of 0.1.0 already"),
        ("0.2.0", "left.txt", "not committed"),
    ],
)
def test_what_cannot_be_released_changes_nothing(
    repository: Path, version: str, left: str, reason: str
) -> None:
    if left:
        (repository / left).touch()

    with pytest.raises(Trouble, match=reason):
        tag(repository, version, "2026-02-03")

    assert (repository / "CHANGELOG.md").read_text(encoding="utf-8") == CHANGELOG
    assert git(repository, "tag") == ""


def test_a_version_is_released_once(repository: Path) -> None:
    tag(repository, "0.2.0", "2026-02-03")

    with pytest.raises(Trouble, match="exists already"):
        tag(repository, "0.2.0", "2026-02-03")


def test_nothing_unreleased_is_no_release() -> None:
    with pytest.raises(Trouble, match="nothing to release"):
        released("# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-01-01\n", "0.2.0", "2026-02-03")
