# Whoever shows no token. The laboratory allows everything else by default; DD_SECURE=1 denies it.
# Bearer tokens, passwords and other services' tokens: Nomad's clients hand them out, nobody else reads them.
key_prefix "dronedispatch/secrets/" { policy = "deny" }
key_prefix "dronedispatch/consul-tokens/" { policy = "deny" }
key_prefix "dronedispatch/operator/" { policy = "deny" }
