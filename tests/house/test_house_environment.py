"""The set-up of a checkout that was moved or copied, whose environment names the old place; and of a user with settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support.commands import ran


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With an environment that looks up to date; what its programs begin with is each test's."""
    folder = tmp_path / "my checkout"
    shutil.copytree(CHECKOUT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy(CHECKOUT / name, folder / name)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    sums = (
        "{ cat requirements.txt; sed '/^\\[tool/,$d' pyproject.toml; } | cksum >.venv/.requirements.txt.stamp"
    )
    subprocess.run(["sh", "-c", sums], cwd=folder, check=True)
    return folder


def made_at(checkout: Path, place: Path, form: str) -> None:
    (checkout / ".venv" / "bin" / "dronedispatch").write_text(form.format(f"{place}/.venv/bin/python"))


def said(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return ran([checkout / words[0], *words[1:]], cwd="/")


FORMS = (
    "#!{}\n",
    "#!/bin/sh\n'''exec' \"{}\" \"$0\" \"$@\"\n' '''\n",
    "#!/bin/sh\n'''exec' {} \"$0\" \"$@\"\n",
)


@pytest.mark.parametrize("form", FORMS)
def test_an_environment_of_another_place_is_made_anew(checkout: Path, form: str) -> None:
    """The programs of a moved checkout were not found, and a copied one ran the code of the first."""
    made_at(checkout, checkout.with_name("old"), form)
    assert ".venv would be made" in said(checkout, "scripts/setup/venv", "--check").stdout
    done = said(checkout, "scripts/status")
    assert done.returncode == 1
    assert "was moved or copied" in done.stderr
    assert "scripts/install-tools" in done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_an_environment_of_this_place_is_kept_by_whatever_name_it_is_reached(
    checkout: Path, form: str
) -> None:
    link = checkout.with_name("link")
    link.symlink_to(checkout)
    for made, reached in ((checkout, checkout), (checkout, link), (link, checkout)):
        made_at(checkout, made, form)
        assert "satisfied" in said(reached, "scripts/setup/venv", "--check").stdout


def test_a_start_in_a_moved_checkout_goes_on_to_its_set_up(checkout: Path) -> None:
    made_at(checkout, checkout.with_name("old"), FORMS[0])
    (checkout / "scripts" / "install-tools").write_text("#!/bin/sh\necho the set-up; exit 7\n")
    assert said(checkout, "scripts/up").stdout == "the set-up\n"


def test_where_a_user_has_pip_install_is_not_where_the_set_up_does(checkout: Path) -> None:
    """PIP_USER, on some hosts set for everybody, ended the set-up; PIP_TARGET filled another folder."""
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text('#!/bin/sh\ncase "$*" in *"pip install"*) env ;; esac >>"${0%/bin/*}/told"\n')
    python.chmod(0o755)
    theirs = {"PIP_USER": "1", "PIP_TARGET": "/theirs", "PIP_PREFIX": "/theirs", "PIP_ROOT": "/theirs"}
    done = subprocess.run(
        [checkout / "scripts" / "setup" / "venv"], env={**os.environ, **theirs}, timeout=600, check=False
    )
    assert done.returncode == 0
    told = (checkout / ".venv" / "told").read_text().splitlines()
    assert {line for line in told if line.startswith(tuple(theirs))} == {"PIP_USER=0"}
