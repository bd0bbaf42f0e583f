"""Starts a gateway from the environment."""

from __future__ import annotations

from collections.abc import Mapping

from dronedispatch.gateway.app import create_app
from dronedispatch.gateway.settings import Settings
from dronedispatch.runtime.serve import serve
from dronedispatch.runtime.settings import load


def main(environ: Mapping[str, str]) -> None:
    """Serves until SIGTERM. Raises SettingsError."""
    serve(create_app(load(Settings, "GATEWAY", environ)))
