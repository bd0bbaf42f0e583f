"""Our fakes (clock, broker, store, network), kept as product code and imported by tests only."""
