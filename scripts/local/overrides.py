"""Settings that the caller's environment adds to the table: wrong ones are told before anything starts."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping

from scripts.local.table import PREFIXES, Program, inherited, own_settings
from scripts.local.trouble import Trouble

from dronedispatch.runtime.settings import SettingsError, load


def check(processes: Iterable[Program], environ: Mapping[str, str]) -> None:
    """Raises Trouble for a variable of ours that its service would refuse."""
    if not own_settings(environ):
        return
    for process in processes:
        package = process.service.replace("-", "_")
        prefix = package.upper()
        if f"{prefix}_" not in PREFIXES:
            continue
        settings = importlib.import_module(f"dronedispatch.{package}.settings").Settings
        try:
            load(settings, prefix, {**inherited(environ), **process.environment})
        except SettingsError as error:
            sentence = str(error).split("; known:")[0]
            raise Trouble(
                f"{sentence} (in your environment): see .venv/bin/dronedispatch {process.service} --settings"
            ) from error
