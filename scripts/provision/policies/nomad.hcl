# Nomad's agents: they register what they run and fill its templates with its secrets.
agent_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
service_prefix "" { policy = "write" }
key_prefix "dronedispatch/secrets/" { policy = "read" }
key_prefix "dronedispatch/consul-tokens/" { policy = "read" }
