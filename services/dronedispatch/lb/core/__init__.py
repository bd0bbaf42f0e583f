"""What the door decides: framing, balancing, ejection, retries, limits. Pure."""
