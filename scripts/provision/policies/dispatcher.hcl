# One dispatcher leads: a lock, a session, and the check that the session hangs on.
# It finds others and their machines.
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }

key_prefix "dronedispatch/dispatcher/" { policy = "write" }
session_prefix "" { policy = "write" }

# Where no Nomad does it, it registers itself, and nothing else.
service "dispatcher" { policy = "write" }

# Bearer tokens, passwords and other services' tokens: Nomad's clients hand them out, nobody else reads them.
key_prefix "dronedispatch/secrets/" { policy = "deny" }
key_prefix "dronedispatch/consul-tokens/" { policy = "deny" }
