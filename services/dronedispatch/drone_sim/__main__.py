"""Starts drone_sim."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dronedispatch.drone_sim.app import create_app
from dronedispatch.drone_sim.settings import Settings
from dronedispatch.runtime.serve import serve
from dronedispatch.runtime.settings import load


def main(environ: Mapping[str, str]) -> None:
    """Runs until stopped. Raises SettingsError."""
    serve(create_app(load(Settings, "DRONE_SIM", environ)))


if __name__ == "__main__":
    main(os.environ)
