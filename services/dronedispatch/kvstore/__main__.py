"""Starts a kvstore."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from dronedispatch.kvstore.app import create_app
from dronedispatch.kvstore.disk import DiskRefused
from dronedispatch.kvstore.settings import Settings
from dronedispatch.runtime.serve import serve
from dronedispatch.runtime.settings import load


def main(environ: Mapping[str, str]) -> None:
    """Runs until stopped. Raises SettingsError. Exits 2 with one sentence if the disk cannot be opened."""
    try:
        serve(create_app(load(Settings, "KVSTORE", environ)))
    except DiskRefused as error:
        sys.stderr.write(f"kvstore: {error}\n")
        raise SystemExit(2) from error


if __name__ == "__main__":
    main(os.environ)
