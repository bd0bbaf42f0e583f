"""One replica of the store: LMDB on disk behind an LRU of ready answers."""
