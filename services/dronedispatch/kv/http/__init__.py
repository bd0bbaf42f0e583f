"""The store's API over HTTP: what kvfront, a kvstore by itself and the memory twin answer with."""
