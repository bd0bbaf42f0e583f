"""The profiles of generated tests, for a pytest that does not read tests/conftest.py."""

from __future__ import annotations

from support import generated

generated.register()
