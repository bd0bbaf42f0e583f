# The door needs nothing but the gateways' addresses.
# It finds others and their machines.
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }

# Where no Nomad does it, it registers itself, and nothing else.
service "lb" { policy = "write" }

# Bearer tokens, passwords and other services' tokens: Nomad's clients hand them out, nobody else reads them.
key_prefix "dronedispatch/secrets/" { policy = "deny" }
key_prefix "dronedispatch/consul-tokens/" { policy = "deny" }
