"""The whole document."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from dronedispatch.gateway.openapi.paths import paths
from dronedispatch.gateway.openapi.schemas import SCHEMAS


def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "DroneDispatch",
            "version": version("dronedispatch"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Delivery orders for a city, assigned to a fleet of drones and flown, live. A 201 means that "
            "the order is stored on every in-sync replica. "
            "Every error is a problem document (RFC 9457) that names the field. Times are "
            "RFC 3339 in UTC, positions WGS84.",
        },
        "servers": [{"url": "/"}],
        "paths": paths(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "operator": {"type": "http", "scheme": "bearer", "description": "The operator token"}
            },
        },
    }
