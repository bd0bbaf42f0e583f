"""Entity tags and the headers that compare them (RFC 9110, 8.8.3 and 13.1)."""

from __future__ import annotations

import re
from typing import NamedTuple

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\U0010ffff]*)"')
_LIST = re.compile(rf"[ \t,]*({_TAG.pattern}([ \t]*,[ \t,]*{_TAG.pattern})*)[ \t,]*")


class ETag(NamedTuple):
    """`text` without its quotes. A weak one says that two representations are as good as each other, not the same."""

    text: str
    weak: bool = False


class Tags(NamedTuple):
    """The value of If-Match or If-None-Match: some tags, or `*` (`any`), which stands for whatever there is."""

    tags: tuple[ETag, ...]
    any: bool = False

    def strong(self) -> frozenset[str]:
        """The tags that can match by the strong comparison, which If-Match uses."""
        return frozenset(tag.text for tag in self.tags if not tag.weak)

    def names(self, text: str) -> bool:
        """Whether `text` matches by the weak comparison, which If-None-Match uses."""
        return self.any or any(tag.text == text for tag in self.tags)


def parse_tags(value: str) -> Tags:
    """`*`, or tags with commas between. Raises ValueError."""
    if value.strip() == "*":
        return Tags((), any=True)
    if _LIST.fullmatch(value) is None:
        raise ValueError('expected * or entity tags in double quotes, such as "7.12"')
    return Tags(tuple(ETag(text, bool(weak)) for weak, text in _TAG.findall(value)))
