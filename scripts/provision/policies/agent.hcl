# Every Consul agent: it writes its own node (names are the topology's, a prefix covers them) and sees the services.
node_prefix "" { policy = "write" }
service_prefix "" { policy = "read" }
agent_prefix "" { policy = "read" }
