"""Starts a kvfront."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dronedispatch.kvfront.app import create_app
from dronedispatch.kvfront.settings import Settings
from dronedispatch.runtime.serve import serve
from dronedispatch.runtime.settings import load


def main(environ: Mapping[str, str]) -> None:
    """Runs until stopped. Raises SettingsError."""
    serve(create_app(load(Settings, "KVFRONT", environ)))


if __name__ == "__main__":
    main(os.environ)
