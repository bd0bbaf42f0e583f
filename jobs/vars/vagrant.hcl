# The machines of the Vagrantfile. These are the jobs' defaults, written out: `nomad job run jobs/gateway.nomad.hcl` does the same.
datacenters    = ["dc1"]
driver         = "exec"
user           = "dronedispatch"
release_dir    = "/opt/dronedispatch"
release        = "current"
consul_addr    = "127.0.0.1:8500"
distinct_hosts = true
data_dir       = "/var/lib/dronedispatch"
