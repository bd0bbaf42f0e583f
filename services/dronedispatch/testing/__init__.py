"""Our fakes (clock, broker, store, network): product code for tests, benchmarks and scripts/simulate, used by no service."""
