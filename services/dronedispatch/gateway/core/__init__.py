"""What a gateway decides: validation, idempotency, pages, ETA. Pure."""
