# Optional: Prometheus with every service found in Consul (jobs/prometheus/start, part of the release), judging by jobs/prometheus/rules.

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

variable "prometheus" {
  description = "The Prometheus program on the machine (Debian's package)."
  type        = string
  default     = "/usr/bin/prometheus"
}

variable "retention" {
  description = "How long samples are kept."
  type        = string
  default     = "15d"
}

job "prometheus" {
  datacenters = var.datacenters
  type        = "service"

  # scripts/deploy reads these back: a later deployment keeps the release and the generation that run.
  meta {
    release    = var.release
    generation = var.generation
  }

  update {
    max_parallel      = 1
    auto_revert       = true
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "2m"
    progress_deadline = "5m"
  }

  group "server" {
    # One: two would judge twice and alert twice.
    count = 1

    # Samples outlive an update of the job; a lost machine starts an empty history, which no promise rests on.
    ephemeral_disk {
      size    = 1000
      sticky  = true
      migrate = true
    }

    restart {
      attempts = 3
      interval = "2m"
      delay    = "5s"
      mode     = "fail"
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

    service {
      name = "prometheus"
      port = "http"
      tags = ["observability"]

      check {
        name     = "ready"
        type     = "http"
        path     = "/-/ready"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "prometheus" {
      driver = var.driver
      user   = var.user

      kill_signal  = "SIGTERM"
      kill_timeout = "20s" # it writes its head block

      # The release's configuration names neither an address nor a path of this machine: its start script fills them in.
      config {
        command = "${var.release_dir}/${var.release}/etc/prometheus/start"
        args = [
          var.prometheus,
          "--storage.tsdb.path=${NOMAD_ALLOC_DIR}/data",
          "--storage.tsdb.retention.time=${var.retention}",
          "--web.listen-address=${NOMAD_IP_http}:${NOMAD_PORT_http}",
        ]
      }

      env {
        CONSUL_HTTP_ADDR   = var.consul_addr
        CONSUL_TOKEN_FILE  = "${NOMAD_SECRETS_DIR}/consul_token"
        METRICS_TOKEN_FILE = "${NOMAD_SECRETS_DIR}/metrics_token"
        PROMETHEUS_WORK    = "${NOMAD_TASK_DIR}"
      }

      template {
        data        = "{{ key \"dronedispatch/secrets/metrics_token\" }}"
        destination = "secrets/metrics_token"
        perms       = "0444"
        change_mode = "noop" # Prometheus reads the file again for each scrape
      }

      # Empty without ACLs.
      template {
        data        = "{{ keyOrDefault \"dronedispatch/consul-tokens/prometheus\" \"\" }}"
        destination = "secrets/consul_token"
        perms       = "0444"
        change_mode = "noop"
      }

      resources {
        cpu    = 300
        memory = 384
      }
    }
  }
}
