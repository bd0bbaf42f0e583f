# For `nomad agent -dev -config=scripts/provision/dev-exec.hcl`: what the driver exec wants of a client, on one machine.
#   nomad job run -var=driver=exec jobs/gateway.nomad.hcl
disable_update_check = true

client {
  host_volume "kvstore" {
    path      = "/var/lib/dronedispatch/kvstore"
    read_only = false
  }

  # The system's programs, and of ours the releases.
  chroot_env {
    "/bin"               = "/bin"
    "/etc/ld.so.cache"   = "/etc/ld.so.cache"
    "/etc/ld.so.conf"    = "/etc/ld.so.conf"
    "/etc/ld.so.conf.d"  = "/etc/ld.so.conf.d"
    "/etc/localtime"     = "/etc/localtime"
    "/etc/passwd"        = "/etc/passwd"
    "/etc/group"         = "/etc/group"
    "/etc/nsswitch.conf" = "/etc/nsswitch.conf"
    "/etc/hosts"         = "/etc/hosts"
    "/etc/ssl/certs"     = "/etc/ssl/certs"
    "/lib"               = "/lib"
    "/lib64"             = "/lib64"
    "/sbin"              = "/sbin"
    "/usr"               = "/usr"
    "/opt/dronedispatch" = "/opt/dronedispatch"
  }
}
