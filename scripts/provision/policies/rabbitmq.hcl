# The brokers' entry in the catalogue.
service "rabbitmq" { policy = "write" }
node_prefix "" { policy = "read" }
