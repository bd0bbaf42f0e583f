"""Starts a kvstore."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dronedispatch.kvstore.app import create_app
from dronedispatch.kvstore.settings import Settings
from dronedispatch.runtime.serve import serve
from dronedispatch.runtime.settings import load


def main(environ: Mapping[str, str]) -> None:
    """Runs until stopped. Raises SettingsError."""
    serve(create_app(load(Settings, "KVSTORE", environ)))


if __name__ == "__main__":
    main(os.environ)
