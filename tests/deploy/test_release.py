"""scripts/release, without the package index: two at once both end with the whole release; one may have a compiled door."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.commands import ran
from support.real_parts import needs

ROOT = Path(__file__).resolve().parents[2]
# Everything is real but the download of what we depend on.
PYTHON = f'#!/bin/sh\ncase "$*" in *" download "*) exit 0 ;; esac\nexec {sys.executable} "$@"\n'
COPIED = (
    "services",
    "scripts",
    "loadtests",
    "jobs",
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
    "requirements-load.txt",
)
# A compiled module does not look at a replaced global: what replaces one is shown on the interpreted form alone.
SWITCHES_OFF = "tests/contract/test_lb_rules_off.py"
FROM_AFAR = "test_from_another_machine_a_token_is_refused_without_tls"
CONTRACT = {str(file.relative_to(ROOT)) for file in (ROOT / "tests" / "contract").glob("test_lb_*.py")}
# Python 3.12 and later say so of mypyc's own C code, and only where warnings are asked for.
MYPYCS_OWN = "ignore:the (type, exc, tb) signature of throw:DeprecationWarning"
# Of the process that runs the tests, and of the doors that they start.
TESTED_FORM = """
import subprocess, sys
ASKED = "import dronedispatch.lb.core.heads as one; print(one.__file__)"
def test_it_is_compiled():
    exec(ASKED, found := {})
    assert found["one"].__file__.endswith(".so")
    assert subprocess.check_output([sys.executable, "-c", ASKED], text=True).strip().endswith(".so")
"""
DOOR = ("tests/unit/lb", "tests/unit/runtime_http", *sorted(CONTRACT - {SWITCHES_OFF}))


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


@pytest.fixture(scope="module")
def compiled(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel of a release with --compiled, unpacked."""
    needs("gcc")
    made = tmp_path_factory.mktemp("compiled")
    words = ["--compiled", "--version", "tested", "--python", platform.python_version()]
    done = ran([checkout / "scripts" / "release", *words], {**os.environ, "DD_ARTIFACTS": str(made)})
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (made / "release-tested" / "own").iterdir()
    zipfile.ZipFile(wheel).extractall(made / "unpacked")
    return made / "unpacked"


def on(form: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return ran([sys.executable, "-P", *words], {**environ, "PYTHONPATH": str(form)})


def test_a_compiled_release_has_the_whole_core_of_the_door_as_extensions(compiled: Path) -> None:
    core = compiled / "dronedispatch" / "lb" / "core"
    wanted = {file.stem for file in core.glob("*.py")} - {"__init__"}
    assert {file.name.partition(".")[0] for file in core.glob("*.so")} == wanted

    loaded = on(
        compiled, "-c", "import dronedispatch.lb.app, dronedispatch.lb.downstream as d; print(d.__file__)"
    )
    assert loaded.stdout.strip().endswith(".so"), loaded.stdout + loaded.stderr


def test_the_compiled_door_keeps_every_rule_of_the_interpreted_one(compiled: Path, tmp_path: Path) -> None:
    first = tmp_path / "test_form.py"
    first.write_text(TESTED_FORM, encoding="utf-8")
    words = ["-W", MYPYCS_OWN, "-k", f"not {FROM_AFAR}", "-o", f"pythonpath={compiled} tests ."]
    done = on(compiled, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words, first, *DOOR)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_a_release_is_not_compiled_for_another_machine(checkout: Path, tmp_path: Path) -> None:
    other = "aarch64" if platform.machine() == "x86_64" else "x86_64"
    words = ["--compiled", "--version", "other", "--python", platform.python_version(), "--arch", other]
    done = ran([checkout / "scripts" / "release", *words], {**os.environ, "DD_ARTIFACTS": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.startswith("error: --compiled is for machines like this one")
    assert not (tmp_path / "latest").exists()
