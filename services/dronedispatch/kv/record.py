"""What a replica keeps for a key."""

from __future__ import annotations

import msgspec

from dronedispatch.kv.version import Version

KEY_BYTES_MAX = 400
VALUE_BYTES_MAX = 1024 * 1024
TAGS_MAX = 8
TAG_BYTES_MAX = 64
WRITE_ID_BYTES = 16


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One version of one key, as it is stored, replicated and answered.

    `write_id` names the write itself (16 bytes): who finds his own has succeeded. `wall_s` is information only.
    `fence` is the highest fencing token that a write of this key has carried. A tombstone has an empty value.
    """

    version: Version
    write_id: bytes
    wall_s: float
    tombstone: bool
    fence: Version | None
    tags: tuple[str, ...]
    value: bytes


def why_no_key(key: str) -> str | None:
    """The reason why `key` cannot be one; None if it can. Longer than KEY_BYTES_MAX is told apart by the caller (414)."""
    if not key:
        return "the key is empty"
    if "\x00" in key:
        return "the key holds a NUL"
    return None


def why_no_tags(tags: tuple[str, ...]) -> str | None:
    """The reason why `tags` are refused (400): at most 8, each `name=value` of 3 to 64 printable ASCII bytes."""
    if len(tags) > TAGS_MAX:
        return f"{len(tags)} tags, at most {TAGS_MAX}"
    for tag in tags:
        name, sign, value = tag.partition("=")
        if not sign or not name or not value:
            return f"tag {tag[:80]!r} is not name=value"
        if len(tag) > TAG_BYTES_MAX or not tag.isascii() or not tag.isprintable() or set(tag) & {",", " "}:
            return (
                f"tag {tag[:80]!r}: up to {TAG_BYTES_MAX} printable ASCII characters without space and comma"
            )
    return None
