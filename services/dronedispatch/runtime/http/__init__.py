"""The upstream half of HTTP/1.1: pool, response parser, timeouts; shared by the door and every internal call."""
