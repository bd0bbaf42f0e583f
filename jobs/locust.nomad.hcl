# Optional: Locust's web UI against the door. It judges the SLOs: its log ends with the verdict when a test is stopped.

variable "driver" {
  description = "raw_exec (one machine, nomad agent -dev) or exec (isolated; provisioned machines)."
  type        = string
  default     = "raw_exec"

  validation {
    condition     = contains(["raw_exec", "exec"], var.driver)
    error_message = "The driver must be raw_exec or exec."
  }
}

variable "release" {
  description = "Folder of the installed release that the job runs."
  type        = string
  default     = "/opt/dronedispatch/current"

  validation {
    condition     = substr(var.release, 0, 1) == "/"
    error_message = "The release must be an absolute path."
  }
}

variable "users" {
  description = "Simulated clients that the web UI proposes."
  type        = number
  default     = 20

  validation {
    condition     = var.users >= 1 && var.users <= 10000 && floor(var.users) == var.users
    error_message = "A whole number of clients, between 1 and 10000."
  }
}

job "locust" {
  type = "service"

  meta {
    variables = jsonencode({ driver = var.driver, release = var.release, users = var.users })
  }

  update {
    max_parallel      = 1
    auto_revert       = false # one that does not start is read, not rolled back
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "2m"
    progress_deadline = "5m"
  }

  group "web" {
    consul {} # its templates read the catalogue: with ACLs, by the workload identity's own token

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
      user   = var.driver == "exec" ? "dronedispatch" : ""

      shutdown_delay = "3s" # out of Consul first
      kill_signal    = "SIGTERM"
      kill_timeout   = "20s" # it writes its verdict

      config {
        command = "${var.release}/bin/locust"
        args = [
          "--locustfile", "${var.release}/loadtests/locustfile.py",
          "--users", "${var.users}",
          "--web-host", "${NOMAD_IP_http}",
          "--web-port", "${NOMAD_PORT_http}",
        ]
      }

      # Waits in the catalogue until an lb passes.
      template {
        data        = <<-EOT
        {{ with service "lb" }}{{ with index . 0 }}LOCUST_HOST=http://{{ .Address }}:{{ .Port }}{{ end }}{{ end }}
        EOT
        destination = "local/lb.env"
        env         = true
        change_mode = "noop" # a test that runs goes on
      }

      # A core for the load itself; measured with 20 users.
      resources {
        cpu    = 400
        memory = 192
      }
    }
  }
}
