# The operator's tool for the store: bootstrap, drain, recover.
# It finds others and their machines.
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }

key_prefix "dronedispatch/kv/" { policy = "write" }

# Bearer tokens, passwords and other services' tokens: Nomad's clients hand them out, nobody else reads them.
key_prefix "dronedispatch/secrets/" { policy = "deny" }
key_prefix "dronedispatch/consul-tokens/" { policy = "deny" }
