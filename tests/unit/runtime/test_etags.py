"""If-Match and If-None-Match as RFC 9110 writes them."""

from __future__ import annotations

import pytest

from dronedispatch.runtime.etags import ETag, parse_tags


def test_a_list_holds_strong_and_weak_tags() -> None:
    found = parse_tags(' "1.2" , W/"1.3",, "" ')
    assert found.tags == (ETag("1.2"), ETag("1.3", weak=True), ETag(""))
    assert found.strong() == {"1.2", ""}
    assert found.names("1.3")
    assert not found.names("1.4")


def test_a_comma_inside_a_tag_parts_nothing() -> None:
    assert parse_tags('"a,b"').tags == (ETag("a,b"),)


def test_a_star_names_whatever_there_is() -> None:
    found = parse_tags(" * ")
    assert found.any
    assert found.names("anything")


@pytest.mark.parametrize("value", ["", "1.2", '"1.2', 'w/"1"', '"a b"', '*, "1"', '"1" "2"', "W/*"])
def test_what_is_no_list_of_tags_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="entity tags"):
        parse_tags(value)
