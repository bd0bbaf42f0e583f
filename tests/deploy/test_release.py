"""scripts/release: two at once, into one folder or two, both end with the whole release. Without the package index."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Everything is real but the download of what we depend on.
PYTHON = f'#!/bin/sh\ncase "$*" in *" download "*) exit 0 ;; esac\nexec {sys.executable} "$@"\n'
COPIED = (
    "services",
    "scripts",
    "loadtests",
    "jobs",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "requirements-load.txt",
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody else builds in it."""
    made = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, made / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy(ROOT / name, made)
    python = made / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON, encoding="ascii")
    python.chmod(0o755)
    return made


@pytest.mark.parametrize("folders", [("one", "two"), ("one", "one")], ids=["two-folders", "one-folder"])
def test_two_releases_at_once_are_both_whole(
    checkout: Path, tmp_path: Path, folders: tuple[str, str]
) -> None:
    runs = [
        subprocess.Popen(
            [checkout / "scripts" / "release", "--version", "tested"],
            env={**os.environ, "DD_ARTIFACTS": str(tmp_path / folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for folder in folders
    ]
    told = [run.communicate(timeout=600)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(told)
    wanted = {str(file.relative_to(checkout / "services")) for file in (checkout / "services").rglob("*.py")}
    for folder in {*folders}:
        (wheel,) = (tmp_path / folder / "release-tested" / "own").iterdir()
        assert wanted <= set(zipfile.ZipFile(wheel).namelist())
        assert {path.name for path in (tmp_path / folder).iterdir()} == {".lock", "latest", "release-tested"}
    assert sum("made tested" in one for one in told) == len({*folders})
    assert not (checkout / "build").exists()
