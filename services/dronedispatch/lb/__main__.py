"""`python -m dronedispatch.lb`: the door, from the environment (LB_*)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from dronedispatch.lb.app import create_app
from dronedispatch.lb.settings import from_environment
from dronedispatch.runtime.serve import CannotListen, serve
from dronedispatch.runtime.settings import SettingsError


def main(environ: Mapping[str, str]) -> None:
    """Run until SIGTERM. Exits 2 with one sentence for a wrong setting or a taken port."""
    try:
        app = create_app(from_environment(environ), environ)
    except (SettingsError, CannotListen) as error:
        sys.stderr.write(f"lb: {error}\n")
        raise SystemExit(2) from error
    serve(app)


if __name__ == "__main__":
    main(os.environ)
