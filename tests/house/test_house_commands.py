"""Every command that a page tells people to type is executed by a test, or said not to be."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support import checkout
from support.commands import ran
from support.page_commands import ELSEWHERE, NOT_EXECUTED, PAGES, Block, blocks, typed_by_the_live_test

EVERY = [block for page in PAGES for block in blocks(page)]


def name_of(block: Block) -> str:
    return f"{block.page}: {block.commands[0][:40]}"


def test_no_other_page_has_shell_blocks() -> None:
    others = [
        page for page in map(checkout.name_of, checkout.tracked(".md")) if page not in PAGES and blocks(page)
    ]
    assert others == [], "add the page to PAGES in page_commands.py, and its blocks to a test"


@pytest.mark.parametrize("block", EVERY, ids=name_of)
def test_a_block_of_commands_is_executed_or_says_that_it_is_not(block: Block) -> None:
    if block.language != "bash":
        assert block.text.startswith(NOT_EXECUTED), (
            f"open it with ```bash, or begin it with '{NOT_EXECUTED}<why>'"
        )
        return
    if block in typed_by_the_live_test():
        return
    for command in block.commands:
        assert command in ELSEWHERE, f"{command}: name the test that types it in page_commands.py"
        where, evidence = ELSEWHERE[command]
        assert evidence in (CHECKOUT / where).read_text(encoding="utf-8")


def test_the_live_test_types_the_pages_blocks() -> None:
    assert [block.page for block in typed_by_the_live_test()].count("docs/operations.md") >= 4
    assert (CHECKOUT / "tests" / "integration" / "test_pages.py").exists()


@pytest.mark.parametrize(
    "command",
    [
        command
        for block in blocks("CONTRIBUTING.md")
        if block.language == "bash"
        for command in block.commands
    ],
)
def test_how_to_run_one_test_is_how_it_is_run(command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == ".venv/bin/python"
    done = ran([sys.executable, *arguments, "-q", "-p", "no:cacheprovider"], cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout


def test_hooks_and_workflow_run_commands_of_this_repository_only() -> None:
    hooks = (CHECKOUT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    programs = re.findall(r"^ +entry: (\S+)", hooks, re.MULTILINE)
    assert programs
    assert [
        program for program in programs if program != ".venv/bin/python" and not (CHECKOUT / program).exists()
    ] == []
    assert re.findall(r"^ *- repo: (\S+)", hooks, re.MULTILINE) == ["local"]
    workflow = (CHECKOUT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(r"^ *- run: (.*)$", workflow, re.MULTILINE) == [".ci/run"]


@pytest.mark.parametrize(
    ("message", "right"),
    [
        ("lb: 412 after a lost PUT was reported as a conflict\n\nIt was not one.", True),
        ("Merge branch 'x'", True),
        ("412 after a lost PUT was reported as a conflict\n\nIt was not one.", False),
        ("lb: 412 after a lost PUT was reported as a conflict", False),
        ("lb: 412 after a lost PUT was reported as a conflict\nIt was not one.", False),
        (f"lb: {'x' * 70}\n\nToo long.", False),
        ("lb: a full stop.\n\nIs none of a title's.", False),
    ],
)
def test_a_commit_message_has_an_area_a_short_title_and_a_body(
    tmp_path: Path, message: str, right: bool
) -> None:
    (tmp_path / "message").write_text(message + "\n", encoding="utf-8")
    done = ran([CHECKOUT / "scripts" / "setup" / "commit-message", tmp_path / "message"])
    assert (done.returncode == 0) is right, done.stderr
