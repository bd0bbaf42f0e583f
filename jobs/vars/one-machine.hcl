# One machine with `nomad agent -dev`: no isolation, no volumes, no second machine.
#   nomad job run -var-file=jobs/vars/one-machine.hcl jobs/gateway.nomad.hcl
datacenters    = ["dc1"]
driver         = "raw_exec"
user           = ""
release_dir    = "/opt/dronedispatch"
release        = "current"
consul_addr    = "127.0.0.1:8500"
distinct_hosts = false
data_dir       = "/var/lib/dronedispatch"
