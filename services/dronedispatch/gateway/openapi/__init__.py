"""The OpenAPI 3 document of the public API, built from the limits that the code itself obeys."""
