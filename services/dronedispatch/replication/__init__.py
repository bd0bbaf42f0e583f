"""The store's replication: the view, the calls between coordinator and replica, and the driver that runs the protocol.

Only what takes part in it imports this room (kvfront, kvstore, kvctl, the simulation); a client of the store knows kv/ only.
"""
