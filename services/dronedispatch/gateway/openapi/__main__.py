"""Writes the document: python -m dronedispatch.gateway.openapi > docs/openapi.json."""

from __future__ import annotations

import sys

from dronedispatch.gateway.openapi.document import as_text

if __name__ == "__main__":
    sys.stdout.write(as_text())
