"""Reads every page of a data file that is not in use, and ends with 1 and one sentence if that cannot be done."""

from __future__ import annotations

import sys

import lmdb

from dronedispatch.kvstore.disk import DATABASES


def main(path: str) -> None:
    """Raises SystemExit 1. A page that does not exist may end this process by a signal: that is what it is for."""
    try:
        env = lmdb.open(path, max_dbs=DATABASES, readonly=True, lock=False, lib_version=0)
        for name in (b"meta", b"data", b"tags", b"hints"):
            _read(env, name)
    except lmdb.Error as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error


def _read(env: lmdb.Environment, name: bytes) -> None:
    with env.begin() as txn:
        try:
            table = env.open_db(name, txn=txn, create=False)
        except lmdb.NotFoundError:
            return  # it was never made
        with txn.cursor(db=table) as cursor:
            for key, value in cursor:
                hash((key, value))


if __name__ == "__main__":
    main(sys.argv[1])
