"""Reads every page of a data file that is not in use, and ends with 1 and one sentence if that cannot be done."""

from __future__ import annotations

import os
import sys

import lmdb

from dronedispatch.kvstore.disk import DATABASES

TABLES = (b"meta", b"data", b"tags", b"hints")
"""In the order in which they are made, each by a transaction of its own."""


class _NotOurs(Exception):
    """The file is whole to LMDB, and not what a replica has written."""


def main(path: str) -> None:
    """Raises SystemExit 1. A page that does not exist may end this process by a signal: that is what it is for."""
    try:
        env = lmdb.open(path, max_dbs=DATABASES, readonly=True, lock=False, lib_version=0)
        for name in _names(env):
            _read(env, name)
        # Looks also at what is free, which no table shows and the next write trusts.
        with open(os.devnull, "wb") as nowhere:
            env.copyfd(nowhere.fileno(), compact=True)
    except (lmdb.Error, _NotOurs) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error


def _names(env: lmdb.Environment) -> list[bytes]:
    with env.begin() as txn, txn.cursor() as cursor:
        found = {bytes(name) for name in cursor.iternext(values=False)}
    made = list(TABLES[: len(found)])
    if found != set(made):
        raise _NotOurs(f"its tables are {sorted(found)}, and not {made}")
    return made


def _read(env: lmdb.Environment, name: bytes) -> None:
    with env.begin() as txn:
        table = env.open_db(name, txn=txn, create=False)
        with txn.cursor(db=table) as cursor:
            for key, value in cursor:
                hash((key, value))


if __name__ == "__main__":
    main(sys.argv[1])
