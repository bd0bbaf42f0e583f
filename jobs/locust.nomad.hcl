# Optional: Locust's web UI against the lb, on the machines themselves. It judges the SLOs: `nomad alloc logs -job locust`
# ends with the verdict when the test is stopped.

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

variable "users" {
  description = "Simulated clients that the web UI proposes."
  type        = number
  default     = 20

  validation {
    condition     = var.users >= 1 && var.users <= 10000
    error_message = "Between 1 and 10000 clients."
  }
}

job "locust" {
  datacenters = var.datacenters
  type        = "service"

  # scripts/deploy reads these back: a later deployment keeps the release and the generation that run.
  meta {
    release    = var.release
    generation = var.generation
  }

  update {
    max_parallel      = 1
    auto_revert       = false # a load test that does not start is read, not rolled back
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "2m"
    progress_deadline = "5m"
  }

  group "web" {
    count = 1

    restart {
      attempts = 3
      interval = "2m"
      delay    = "5s"
      mode     = "fail"
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    network {
      port "http" {
        static = 8089 # where every Locust manual says that it is
      }
    }

    service {
      name = "locust"
      port = "http"
      tags = ["load"]

      check {
        name     = "ready"
        type     = "http"
        path     = "/"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "locust" {
      driver = var.driver
      user   = var.user

      kill_signal  = "SIGTERM"
      kill_timeout = "20s" # it writes its verdict

      config {
        command = "${var.release_dir}/${var.release}/bin/locust"
        args = [
          "--locustfile", "${var.release_dir}/${var.release}/loadtests/locustfile.py",
          "--users", "${var.users}",
          "--web-host", "${NOMAD_IP_http}",
          "--web-port", "${NOMAD_PORT_http}",
        ]
      }

      # Waits in the catalogue until an lb passes; another lb, another start.
      template {
        data        = <<-EOT
        {{ with service "lb" }}{{ with index . 0 }}LOCUST_HOST=http://{{ .Address }}:{{ .Port }}{{ end }}{{ end }}
        EOT
        destination = "local/lb.env"
        env         = true
        change_mode = "noop"
      }

      resources {
        cpu    = 800
        memory = 384
      }
    }
  }
}
