"""The public door: a load balancer over the healthy gateways of Consul."""
