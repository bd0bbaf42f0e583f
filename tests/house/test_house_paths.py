"""Every file, function and command that a page names exists, the front pages are short, and a class has one name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support.checkout import name_of, text_of, tracked

PRODUCT = CHECKOUT / "services" / "dronedispatch"
LINE_MAX = 160
LONGEST = {"README.md": (80, 900), "ARCHITECTURE.md": (250, 3_500)}
HISTORY = {"CHANGELOG.md"}  # names what was there at its time
ENDINGS = (".py", ".sh", ".hcl", ".js", ".toml", ".json", ".yml", ".md", ".html", ".css", ".png", ".svg")
SPAN = re.compile(r"`([^`\n]+)`")
NAMED = re.compile(r"([\w.-]+(?:/[\w.*-]+)*/?)(?::(\w+))?")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SAME_JOB = {"Settings"}  # the same job in every service


def product() -> list[Path]:
    return [path for path in tracked(".py") if PRODUCT in path.parents]


def rooms() -> set[str]:
    above = {path.relative_to(CHECKOUT).parts[0] for path in tracked() if path.parent != CHECKOUT}
    return above | {path.name for path in PRODUCT.iterdir() if path.is_dir()}


def named_in(page: Path) -> Iterator[tuple[str, str | None]]:
    """(path, function or class) of each code span of `page` that is one."""
    for span in SPAN.findall(FENCED.sub("", text_of(page))):
        if (match := NAMED.fullmatch(span)) is None:
            continue
        path, function = match[1], match[2]
        if path.rstrip("/").endswith(ENDINGS) or ("/" in path and path.split("/")[0] in rooms()):
            yield path, function


def found(path: str, page: Path) -> list[Path]:
    """What `path` may mean: below the repository, the product or the page; a name alone: any file of that name."""
    places = [hit for root in (CHECKOUT, PRODUCT, page.parent) for hit in root.glob(path.rstrip("/"))]
    if not places and "/" not in path:
        places = [one for one in tracked() if one.name == path]
    return places


def same_name(path: str) -> str:
    name = Path(path).name
    others = [name_of(one) for one in tracked() if one.name == name]
    return f"; there is {', '.join(others)}" if others else "; no file has that name now"


def defines(path: Path, name: str) -> bool:
    text = text_of(path)
    if path.suffix != ".py":
        return re.search(rf"\b{name}\b", text) is not None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) and node.name == name for node in ast.walk(ast.parse(text)))


def where_defined(name: str) -> str:
    others = [name_of(path) for path in product() if defines(path, name)]
    return f"; it is defined in {', '.join(others[:5])}" if others else "; it is defined nowhere"


@pytest.mark.parametrize("page", [page for page in tracked(".md") if page.name not in HISTORY], ids=name_of)
def test_every_file_and_function_that_a_page_names_exists(page: Path) -> None:
    wrong = {}
    for path, function in named_in(page):
        places = found(path, page)
        if not places:
            wrong[path] = f"moved or gone: edit {name_of(page)}{same_name(path)}"
        elif function is not None and not any(
            place.is_file() and defines(place, function) for place in places
        ):
            wrong[f"{path}:{function}"] = f"renamed: edit {name_of(page)}{where_defined(function)}"
    assert not wrong, "\n" + "\n".join(f"{what}: {why}" for what, why in wrong.items())


@pytest.mark.parametrize("name", LONGEST)
def test_the_front_pages_are_short(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    lines_max, words_max = LONGEST[name]
    assert len(text.splitlines()) <= lines_max
    assert len(text.split()) <= words_max


@pytest.mark.parametrize("page", tracked(".md"), ids=name_of)
def test_no_line_of_a_page_is_wider_than_160(page: Path) -> None:
    lines = text_of(page).splitlines()
    assert {number: len(line) for number, line in enumerate(lines, 1) if len(line) > LINE_MAX} == {}


def test_a_class_name_means_one_thing_in_the_whole_product() -> None:
    places = defaultdict(list)
    for path in product():
        for node in ast.parse(text_of(path)).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name_of(path))
    assert {name: where for name, where in places.items() if len(where) > 1 and name not in SAME_JOB} == {}
