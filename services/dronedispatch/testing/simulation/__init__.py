"""A whole store cluster in one process and one seed: production's core code, with time, network, disks and Consul
simulated.
"""
