"""Reads every page of a data file that is not in use, and ends with 1 and one sentence if that cannot be done."""

from __future__ import annotations

import sys

import lmdb

from dronedispatch.kvstore.disk import DATABASES


def main(path: str) -> None:
    """Raises SystemExit 1. A page that does not exist may end this process by a signal: that is what it is for."""
    try:
        env = lmdb.open(path, max_dbs=DATABASES, readonly=True, lock=False, lib_version=0)
        with env.begin() as txn:
            for name in (b"meta", b"data", b"tags", b"hints"):
                table = env.open_db(name, txn=txn, create=False)
                with txn.cursor(db=table) as cursor:
                    for key, value in cursor:
                        hash((key, value))
    except lmdb.NotFoundError:
        return  # a table that was never made
    except lmdb.Error as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main(sys.argv[1])
