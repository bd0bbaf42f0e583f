# A replica writes itself into the view when it joins, after a probe that Consul can be written.
# It finds others and their machines.
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }

key_prefix "dronedispatch/kv/" { policy = "write" }

# Where no Nomad does it, it registers itself, and nothing else.
service "kvstore" { policy = "write" }

# Bearer tokens, passwords and other services' tokens: Nomad's clients hand them out, nobody else reads them.
key_prefix "dronedispatch/secrets/" { policy = "deny" }
key_prefix "dronedispatch/consul-tokens/" { policy = "deny" }
