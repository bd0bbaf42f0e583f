"""How one of our processes lives: settings, logs, clock, loops, web, discovery, messages. Knows no drone, no key."""
