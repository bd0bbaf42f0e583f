"""The commands for a cluster, called as people call them: from any folder, into a pipe, and ended by Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from scripts.cluster import deploy
from scripts.local.home import CHECKOUT

from support.waiting import wait_until

WITHIN_S = 300


def program(folder: Path, text: str) -> dict[str, str]:
    """An environment in which `nomad` is a script of `text`."""
    nomad = folder / "nomad"
    nomad.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    nomad.chmod(0o700)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def done(
    words: Sequence[str], folder: Path, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    """A script of the checkout, called from `folder`."""
    command = [str(CHECKOUT / "scripts" / words[0]), *words[1:]]
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def test_a_folder_is_looked_for_where_the_command_is_typed(tmp_path: Path) -> None:
    ended = done(["make-secrets", "--dir", "some keys"], tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "some keys" / "gossip_key").is_file()


def test_a_file_of_variables_is_looked_for_where_the_command_is_typed(tmp_path: Path) -> None:
    (tmp_path / "mine.hcl").write_text("no_such_variable = 1\n", encoding="utf-8")
    ended = done(["deploy", "--vars", "./mine.hcl"], tmp_path)
    assert "no job takes this variable" in ended.stderr


def test_a_place_that_takes_no_secrets_is_one_sentence(tmp_path: Path) -> None:
    for name in ("gossip_key", "machines"):
        (tmp_path / name).touch()
    ended = done(["make-secrets", "--dir", str(tmp_path), "server-1=192.168.56.11"], tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {tmp_path}/machines")
    assert "--dir DIR" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_ctrl_c_during_a_deployment_is_one_sentence_with_what_goes_on(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    environ = program(tmp_path, f"echo > '{asked}'; exec tail -f /dev/null")
    with subprocess.Popen(
        [CHECKOUT / "scripts" / "deploy"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            wait_until(asked.exists, "it asks Nomad", 60)
            os.killpg(child.pid, signal.SIGINT)
            _, said = child.communicate(timeout=WITHIN_S)
        finally:
            child.kill()
    assert child.returncode == 130
    assert said == "interrupted: what Nomad was told goes on: scripts/status --nomad shows it\n"


def test_a_reader_that_has_read_enough_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = done(["make-secrets", "--dir", str(tmp_path / "keys")], tmp_path, stdout=writing)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_what_is_no_text_in_nomads_words_hides_no_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last lines of a task are whatever bytes it wrote."""
    monkeypatch.setenv("PATH", program(tmp_path, r"printf 'a\377b\n'")["PATH"])
    assert deploy.nomad("alloc", "logs") == (0, "a\ufffdb\n")
