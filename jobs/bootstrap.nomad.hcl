# Writes the store's first view (which replicas hold which slots), once: an existing view is success, so that running
# it again changes nothing. kvfront is not ready before. scripts/deploy runs it right after kvstore.

variable "datacenters" {
  description = "Nomad datacenters that may run this job."
  type        = list(string)
  default     = ["dc1"]

  validation {
    condition     = length(var.datacenters) > 0
    error_message = "At least one datacenter is needed."
  }
}

variable "driver" {
  description = "exec (isolated, on provisioned machines) or raw_exec (one machine, a laboratory)."
  type        = string
  default     = "exec"

  validation {
    condition     = contains(["exec", "raw_exec"], var.driver)
    error_message = "The driver must be exec or raw_exec."
  }
}

variable "user" {
  description = "Unprivileged account that the process runs as; empty keeps the driver's default."
  type        = string
  default     = "dronedispatch"
}

variable "release_dir" {
  description = "Directory that holds one folder for each installed release."
  type        = string
  default     = "/opt/dronedispatch"

  validation {
    condition     = substr(var.release_dir, 0, 1) == "/"
    error_message = "The release directory must be an absolute path."
  }
}

variable "release" {
  description = "Folder below release_dir: a version, or `current` for what provisioning installed last."
  type        = string
  default     = "current"

  validation {
    condition     = length(var.release) > 0
    error_message = "The release must not be empty."
  }
}

variable "consul_addr" {
  description = "host:port of the Consul agent of the same machine."
  type        = string
  default     = "127.0.0.1:8500"
}

variable "distinct_hosts" {
  description = "Place every instance on another machine; false only where there is a single machine."
  type        = bool
  default     = true
}

variable "data_dir" {
  description = "Where data lives on the host when the driver is raw_exec, which mounts no volumes."
  type        = string
  default     = "/var/lib/dronedispatch"
}

variable "generation" {
  description = "Counts the rotations of the tokens: a new number rolls the job through its update block (scripts/rotate-tokens)."
  type        = number
  default     = 1
}

variable "rf" {
  description = "Copies of each key. 2 survives one machine; 3 costs half as much again in writes."
  type        = number
  default     = 2

  validation {
    condition     = var.rf >= 1 && var.rf <= 3
    error_message = "The replication factor must be 1, 2 or 3."
  }
}

variable "replicas" {
  description = "Wait until so many kvstores are registered in Consul."
  type        = number
  default     = 3

  validation {
    condition     = var.replicas >= 1
    error_message = "At least one replica is needed."
  }
}

job "bootstrap" {
  datacenters = var.datacenters
  type        = "batch"

  # scripts/deploy reads these back: a later deployment keeps the release and the generation that run.
  meta {
    release    = var.release
    generation = var.generation
  }

  group "bootstrap" {
    # The replicas may need a minute to start: try again every 5 s, for five minutes.
    restart {
      attempts = 60
      interval = "10m"
      delay    = "5s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    task "bootstrap" {
      driver = var.driver
      user   = var.user

      config {
        command = "${var.release_dir}/${var.release}/bin/dronedispatch"
        args    = ["kvctl", "bootstrap", "--rf", "${var.rf}", "--replicas", "${var.replicas}"]
      }

      env {
        CONSUL_HTTP_ADDR = var.consul_addr
        STORE_TOKEN_FILE = "${NOMAD_SECRETS_DIR}/store_token"
      }

      template {
        data        = "{{ key \"dronedispatch/secrets/store_token\" }}"
        destination = "secrets/store_token"
        perms       = "0444" # inside the task's private tmpfs; the task's user must read it
        change_mode = "noop"
      }

      # Only where Consul has ACLs: without, there is no such key, and the process is told of no file.
      template {
        data        = "{{ keyOrDefault \"dronedispatch/consul-tokens/kvctl\" \"\" }}"
        destination = "secrets/consul_token"
        perms       = "0444"
        change_mode = "noop"
      }

      template {
        data        = "{{ with keyOrDefault \"dronedispatch/consul-tokens/kvctl\" \"\" }}CONSUL_HTTP_TOKEN_FILE={{ env \"NOMAD_SECRETS_DIR\" }}/consul_token{{ end }}"
        destination = "local/consul.env"
        env         = true
        change_mode = "noop"
      }

      resources {
        cpu    = 100
        memory = 128
      }
    }
  }
}
