# Nomad's agents: they register themselves, and look whether Consul is there. What they run has tokens of its own.
agent_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
service_prefix "" { policy = "write" }
