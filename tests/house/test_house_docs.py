"""The pages say what the code cites, and what they point at exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support.checkout import name_of, text_of, tracked

PROTOCOL = CHECKOUT / "docs" / "protocol.md"
CODE_ENDINGS = {".py", ".sh", ".hcl", ".js", ".yml", ".toml", ""}
CODE_ROOMS = ("services", "scripts", "loadtests", "jobs", "tests")
# Every replica rule, numbered step and numbered rule that code may cite, as the protocol's page writes its definition.
CITED = re.compile(r"\b(?:R[1-9]|JOIN \d|READ \d|WRITE \d|FINISH \d|REFRESH \d|VOTE_OUT \d)\b")
OPERATION = re.compile(r"\b(JOIN|FINISH|REFRESH|VOTE_OUT)\b")
NUMBERED_RULE = re.compile(r"\b[Rr]ule (\d+)\b")
# A name in quotes, or behind a slash, is a file that a program writes.
PAGE = re.compile(r"""(?<![\w.*"'/}-])([A-Za-z][\w/-]*\.md)\b""")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)
FENCED = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def code() -> list[Path]:
    found = [path for path in tracked(*CODE_ENDINGS) if path.relative_to(CHECKOUT).parts[0] in CODE_ROOMS]
    return [path for path in found if path.name != Path(__file__).name]


def cited(pattern: re.Pattern[str]) -> dict[str, str]:
    """What `pattern` finds in code, and the first file that says it."""
    found: dict[str, str] = {}
    for path in code():
        for match in pattern.finditer(text_of(path)):
            found.setdefault(match[match.lastindex or 0], name_of(path))
    return found


def steps_of(heading: str) -> set[str]:
    """The numbered steps below a heading of the protocol's page: {"READ 1", ...}."""
    text = text_of(PROTOCOL)
    body = text.partition(f"\n### {heading}\n")[2].partition("\n#")[0]
    return {f"{heading} {number}" for number in re.findall(r"^(\d+)\. ", body, re.MULTILINE)}


def defined() -> set[str]:
    text = text_of(PROTOCOL)
    bold = set(re.findall(r"^\* \*\*(R\d|JOIN \d)\*\*", text, re.MULTILINE))
    return bold.union(*(steps_of(name) for name in ("READ", "WRITE", "FINISH", "REFRESH", "VOTE_OUT")))


def test_every_rule_and_step_that_code_or_a_page_cites_is_defined_by_the_protocol() -> None:
    everything = cited(CITED)
    for page in tracked(".md"):
        for match in CITED.finditer(text_of(page)):
            everything.setdefault(match[0], name_of(page))
    missing = {cite: where for cite, where in everything.items() if cite not in defined()}
    assert missing == {}, f"define them in {name_of(PROTOCOL)}, or cite another number"


def test_every_operation_that_code_names_has_a_heading() -> None:
    headings = set(HEADING.findall(text_of(PROTOCOL)))
    assert {name: where for name, where in cited(OPERATION).items() if name not in headings} == {}


def test_every_numbered_rule_that_code_names_is_a_row_with_a_story() -> None:
    text = text_of(PROTOCOL)
    rows = dict(re.findall(r"^\| (\d+) \| .* \| `(\w+)` \|$", text, re.MULTILINE))
    assert sorted(rows, key=int) == [str(number) for number in range(1, 17)]
    stories = (CHECKOUT / "tests/simulation/test_store_rule_stories.py").read_text(encoding="utf-8")
    assert [name for name in rows.values() if f"def {name}(" not in stories] == []
    ours = {number: where for number, where in cited(NUMBERED_RULE).items() if number != "17"}
    assert {number: where for number, where in ours.items() if number not in rows} == {}


def test_every_page_that_code_names_exists() -> None:
    known = {name_of(page) for page in tracked(".md")} | {page.name for page in tracked(".md")}
    missing = {name: where for name, where in cited(PAGE).items() if name not in known}
    assert missing == {}, "write the page, or cite one that is in the repository"


def anchor_of(heading: str) -> str:
    """As the forges make it: lower case, punctuation gone, spaces to dashes."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors_of(page: Path) -> set[str]:
    text = FENCED.sub("", text_of(page))
    return {anchor_of(heading) for heading in HEADING.findall(text)}


def why_broken(page: Path, target: str) -> str | None:
    if target.startswith(("http://", "https://", "mailto:")):
        return None
    path, _, anchor = target.partition("#")
    other = (page.parent / path).resolve() if path else page
    if not other.exists():
        return "no such file"
    if anchor and anchor not in anchors_of(other):
        return f"no such heading; there are {', '.join(sorted(anchors_of(other)))}"
    return None


@pytest.mark.parametrize("page", tracked(".md"), ids=name_of)
def test_every_relative_link_and_anchor_resolves(page: Path) -> None:
    text = FENCED.sub("", text_of(page))
    broken = {target: why for target in LINK.findall(text) if (why := why_broken(page, target)) is not None}
    assert broken == {}
