"""The contract of the store: version, record, wire format, errors (pure), and its client."""
