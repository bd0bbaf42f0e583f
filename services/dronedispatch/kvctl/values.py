"""kvctl get, put, cas, delete, scan, lock: single keys, for people."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from dronedispatch.kv.client import Item, Lease
from dronedispatch.kv.errors import VersionConflict
from dronedispatch.kv.http import json_api
from dronedispatch.kv.validation import check_key
from dronedispatch.kv.version import Version
from dronedispatch.kvctl.session import CannotDo, Session

PAGE = 500


def value_of(text: str) -> bytes:
    """The value that VALUE means: "-" is stdin, "@path" a file, anything else itself. Raises CannotDo."""
    if text == "-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_bytes()
        except OSError as error:
            raise CannotDo(f"{text[1:]}: {error.strerror}") from error
    return text.encode()


def write_whole(out: BinaryIO, value: bytes) -> None:
    """All of it: under PYTHONUNBUFFERED standard output takes what a pipe has room for, and says how much that was."""
    left = memoryview(value)
    while left:
        left = left[out.write(left) :]
    out.flush()


async def get(session: Session, parsed: argparse.Namespace) -> int:
    """Prints the value as it is (and its version to stderr); 1 when absent."""
    check_key(parsed.key)
    kv = await session.store()
    item = await kv.get(parsed.key)
    if item is None:
        raise CannotDo(f"{parsed.key}: absent")
    tags = f" tags {', '.join(item.tags)}" if item.tags else ""
    sys.stderr.write(f"version {item.version}{tags}\n")
    write_whole(sys.stdout.buffer, item.value)
    if sys.stdout.isatty():
        sys.stdout.write("\n")
    return 0


async def put(session: Session, parsed: argparse.Namespace) -> int:
    """Prints the new version."""
    kv = await session.store()
    fence = json_api.version_of(parsed.fence, "--fence")
    version = await kv.put(parsed.key, value_of(parsed.value), tags=tuple(parsed.tag), fence=fence)
    sys.stdout.write(f"{version}\n")
    return 0


async def cas(session: Session, parsed: argparse.Namespace) -> int:
    """Prints the new version; says what is stored when that is not the expected one."""
    kv = await session.store()
    expected = json_api.version_of(parsed.expected, "--expected")
    fence = json_api.version_of(parsed.fence, "--fence")
    try:
        version = await kv.cas(
            parsed.key, expected, value_of(parsed.value), tags=tuple(parsed.tag), fence=fence
        )
    except VersionConflict as conflict:
        stored = "nothing" if conflict.current is None else f"version {conflict.current.version}"
        raise CannotDo(f"{parsed.key}: {stored} is stored there, not {parsed.expected}") from conflict
    sys.stdout.write(f"{version}\n")
    return 0


async def delete(session: Session, parsed: argparse.Namespace) -> int:
    """Silent when done."""
    kv = await session.store()
    await kv.delete(parsed.key, json_api.version_of(parsed.expected, "--expected"))
    return 0


async def scan(session: Session, parsed: argparse.Namespace) -> int:
    """Prints keys, or JSON lines with --values."""
    kv = await session.store()
    if parsed.tag is not None:
        json_api.check_tag(parsed.tag)
    after: str | None = parsed.after
    left: int = parsed.limit
    while left > 0:
        page = await kv.scan(
            prefix=parsed.prefix, tag=parsed.tag, after=after, limit=min(PAGE, left), reverse=parsed.reverse
        )
        for item in page.items:
            sys.stdout.write(_line(item) if parsed.values else f"{item.key}\n")
        left -= len(page.items)
        after = page.next_after
        if after is None:
            break
    return 0


def _line(item: Item) -> str:
    return msgspec.json.encode(json_api.item(item)).decode() + "\n"


async def lock(session: Session, parsed: argparse.Namespace) -> int:
    """acquire and renew print the fencing token; release is silent."""
    kv = await session.store()
    if parsed.action == "acquire":
        lease = await kv.acquire(parsed.name, parsed.owner, parsed.ttl_ms)
        sys.stdout.write(f"{lease.token}\n")
        return 0
    token = json_api.version_of(parsed.token, "--token")
    if not isinstance(token, Version):
        raise CannotDo("--token: the token that acquire printed is needed")
    held = Lease(parsed.name, parsed.owner, token, parsed.ttl_ms, 0.0)
    if parsed.action == "renew":
        sys.stdout.write(f"{(await kv.renew(held)).token}\n")
    else:
        await kv.release(held)
    return 0
