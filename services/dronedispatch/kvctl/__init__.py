"""The command line of the store, for operators."""
