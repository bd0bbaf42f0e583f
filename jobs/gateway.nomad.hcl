# The public API, reached through the lb only.

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

variable "instances" {
  description = "Gateways. Three, so that two carry the load while one is updated."
  type        = number
  default     = 3

  validation {
    condition     = var.instances >= 1 && var.instances <= 20
    error_message = "The number of instances must be between 1 and 20."
  }
}

variable "speed" {
  description = "Simulated seconds in a real one; the same for gateway, dispatcher and drone-sim (scripts/deploy --var speed=60)."
  type        = number
  default     = 1

  validation {
    condition     = var.speed >= 0.1 && var.speed <= 1000
    error_message = "The speed must be between 0.1 and 1000."
  }
}

job "gateway" {
  datacenters = var.datacenters
  type        = "service"

  # scripts/deploy reads these back: a later deployment keeps the release and the generation that run.
  meta {
    release    = var.release
    generation = var.generation
  }

  update {
    max_parallel      = 1
    canary            = 1 # one new instance proves itself beside the old ones
    auto_promote      = true
    auto_revert       = true # back to the last version that was healthy
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "2m"
    progress_deadline = "5m"
  }

  group "server" {
    count = var.instances

    scaling {
      enabled = true
      min     = 2 # `nomad job scale` is refused below and above
      max     = 20
    }

    # Spread, not distinct_hosts: a canary must find a place even where every machine has an instance.
    spread {
      attribute = "${node.unique.name}"
      weight    = 100
    }

    restart {
      attempts = 3
      interval = "2m"
      delay    = "5s"
      mode     = "fail" # then another machine may try
    }

    reschedule {
      delay          = "5s"
      delay_function = "exponential"
      max_delay      = "2m"
      unlimited      = true
    }

    network {
      port "http" {}
    }

    # The same name, tags and meta as a self-registered instance has (scripts/up): nobody sees who registered it.
    service {
      name = "gateway"
      port = "http"
      tags = ["dronedispatch"]

      meta {
        name         = "${NOMAD_JOB_NAME}-${NOMAD_ALLOC_ID}"
        metrics_port = "${NOMAD_PORT_http}"
      }

      check {
        name     = "ready" # discovery, rolling updates and canaries follow this one
        type     = "http"
        port     = "http"
        path     = "/health"
        interval = "5s"
        timeout  = "2s"
      }

      check {
        name     = "live" # only a process that no longer answers at all is restarted: a store that pauses must not restart gateways
        type     = "http"
        port     = "http"
        path     = "/health?live=1"
        interval = "5s"
        timeout  = "2s"

        check_restart {
          limit = 6     # 30 s of silence: longer than any pause that heals by itself (a SIGSTOP beyond the lease, a full disk)
          grace = "30s" # imports and the first look at Consul
        }
      }
    }

    task "gateway" {
      driver = var.driver
      user   = var.user

      shutdown_delay = "3s"      # out of Consul first; twice the second that a watcher needs to notice
      kill_signal    = "SIGTERM" # Nomad's default is SIGINT
      kill_timeout   = "20s"     # above GATEWAY_DRAIN_S, below the client's cap of 30 s

      config {
        command = "${var.release_dir}/${var.release}/bin/dronedispatch"
        args    = ["gateway"]
      }

      env {
        GATEWAY_HOST         = "${NOMAD_IP_http}"
        GATEWAY_PORT         = "${NOMAD_PORT_http}"
        GATEWAY_INSTANCE     = "${NOMAD_JOB_NAME}-${NOMAD_ALLOC_ID}"
        AMQP_USER            = "dronedispatch"
        AMQP_VHOST           = "dronedispatch"
        GATEWAY_SPEED        = var.speed
        GATEWAY_REGISTRATION = "nomad"
        GATEWAY_DRAIN_S      = "10"
        CONSUL_HTTP_ADDR     = var.consul_addr
        STORE_TOKEN_FILE     = "${NOMAD_SECRETS_DIR}/store_token"
        OPERATOR_TOKEN_FILE  = "${NOMAD_SECRETS_DIR}/operator_token"
        METRICS_TOKEN_FILE   = "${NOMAD_SECRETS_DIR}/metrics_token"
        AMQP_PASSWORD_FILE   = "${NOMAD_SECRETS_DIR}/amqp_password"
      }

      template {
        data        = "{{ key \"dronedispatch/secrets/store_token\" }}"
        destination = "secrets/store_token"
        perms       = "0444" # inside the task's private tmpfs; the task's user must read it
        change_mode = "noop" # read at the start; scripts/rotate-tokens rolls the job instead of restarting all at once
      }

      template {
        data        = "{{ key \"dronedispatch/secrets/operator_token\" }}"
        destination = "secrets/operator_token"
        perms       = "0444" # inside the task's private tmpfs; the task's user must read it
        change_mode = "noop" # read at the start; scripts/rotate-tokens rolls the job instead of restarting all at once
      }

      template {
        data        = "{{ key \"dronedispatch/secrets/metrics_token\" }}"
        destination = "secrets/metrics_token"
        perms       = "0444" # inside the task's private tmpfs; the task's user must read it
        change_mode = "noop" # read at the start; scripts/rotate-tokens rolls the job instead of restarting all at once
      }

      template {
        data        = "{{ key \"dronedispatch/secrets/amqp_password\" }}"
        destination = "secrets/amqp_password"
        perms       = "0444" # inside the task's private tmpfs; the task's user must read it
        change_mode = "noop" # read at the start; scripts/rotate-tokens rolls the job instead of restarting all at once
      }

      # Only where Consul has ACLs: without, there is no such key, and the process is told of no file.
      template {
        data        = "{{ keyOrDefault \"dronedispatch/consul-tokens/gateway\" \"\" }}"
        destination = "secrets/consul_token"
        perms       = "0444"
        change_mode = "noop"
      }

      template {
        data        = "{{ with keyOrDefault \"dronedispatch/consul-tokens/gateway\" \"\" }}CONSUL_HTTP_TOKEN_FILE={{ env \"NOMAD_SECRETS_DIR\" }}/consul_token{{ end }}"
        destination = "local/consul.env"
        env         = true
        change_mode = "noop"
      }

      resources {
        cpu    = 400
        memory = 256
      }
    }
  }
}
