# Matches orders and drones. One leads, the others stand by.

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

variable "machines" {
  description = "Nomad clients that the system may use; from two on, the instances are spread over them."
  type        = number
  default     = 1

  validation {
    condition     = var.machines >= 1 && floor(var.machines) == var.machines
    error_message = "The machines must be a whole number from 1 on."
  }
}

variable "instances" {
  description = "Dispatchers. Two: one leads, one stands by."
  type        = number
  default     = 2

  validation {
    condition     = var.instances >= 1 && var.instances <= 5 && floor(var.instances) == var.instances
    error_message = "The instances must be a whole number between 1 and 5."
  }
}

variable "speed" {
  description = "Simulated seconds in a real one; the same for gateway, dispatcher and drone-sim."
  type        = number
  default     = 1

  validation {
    condition     = var.speed >= 0.1 && var.speed <= 1000
    error_message = "The speed must be between 0.1 and 1000."
  }
}

variable "generation" {
  description = "Counts the rotations of the tokens; a new number rolls the job (scripts/rotate-tokens)."
  type        = number
  default     = 1

  validation {
    condition     = var.generation >= 1 && floor(var.generation) == var.generation
    error_message = "The generation must be a whole number from 1 on."
  }
}

job "dispatcher" {
  type = "service"

  # scripts/deploy, rollout and rotate-tokens read it back: what runs is kept unless it is told otherwise.
  meta {
    variables = jsonencode({ driver = var.driver, release = var.release, machines = var.machines, speed = var.speed, generation = var.generation })
  }

  update {
    max_parallel      = 1
    canary            = 1 # one new instance proves itself beside the old ones
    auto_promote      = true
    auto_revert       = true # back to the last version that was healthy
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "5m" # whoever is deployed first waits for the others
    progress_deadline = "10m"
  }

  group "server" {
    count = var.instances

    scaling {
      enabled = true
      min     = 1 # `nomad job scale` is refused below and above
      max     = 5
    }

    consul {} # where the servers name a workload identity for Consul, the task is given a token of its own

    dynamic "spread" {
      for_each = var.machines > 1 ? ["over the machines"] : []
      content {
        attribute = "${node.unique.name}"
        weight    = 100
      }
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
      name = "dispatcher"
      port = "http"
      tags = ["dronedispatch"]

      meta {
        name         = "${NOMAD_JOB_NAME}-${NOMAD_ALLOC_ID}"
        metrics_port = "${NOMAD_PORT_http}"
      }

      check {
        name     = "ready" # discovery and rolling updates follow this one
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
          limit = 6    # 30 s of silence: longer than any pause that heals by itself (a SIGSTOP beyond the lease, a full disk)
          grace = "4m" # counted from the signal to end: that, a delay, and a start beside all others on a slow machine
        }
      }
    }

    task "dispatcher" {
      driver = var.driver
      user   = var.driver == "exec" ? "dronedispatch" : ""

      shutdown_delay = "3s"      # out of Consul first; twice the second that a watcher needs to notice
      kill_signal    = "SIGTERM" # Nomad's default is SIGINT
      kill_timeout   = "20s"     # above DISPATCHER_DRAIN_S, below the client's cap of 30 s

      config {
        command = "${var.release}/bin/dronedispatch"
        args    = ["dispatcher"]
      }

      env {
        DISPATCHER_HOST         = "${NOMAD_IP_http}"
        DISPATCHER_PORT         = "${NOMAD_PORT_http}"
        DISPATCHER_INSTANCE     = "${NOMAD_JOB_NAME}-${NOMAD_ALLOC_ID}"
        DISPATCHER_SPEED        = var.speed
        DISPATCHER_REGISTRATION = "nomad"
        DISPATCHER_DRAIN_S      = "10"
        AMQP_USER               = "dispatcher"
        AMQP_VHOST              = "dronedispatch"
        STORE_TOKEN_FILE        = "${NOMAD_SECRETS_DIR}/store_token"
        METRICS_TOKEN_FILE      = "${NOMAD_SECRETS_DIR}/metrics_token"
        SERVICE_SECRET_FILE     = "${NOMAD_SECRETS_DIR}/service_secret"
        AMQP_PASSWORD_FILE      = "${NOMAD_SECRETS_DIR}/broker_password"
      }

      # One file each, from the job's own Nomad Variable, which no other job can read.
      dynamic "template" {
        for_each = ["store_token", "metrics_token", "service_secret", "broker_password"]
        content {
          data        = "{{ with nomadVar \"nomad/jobs/dispatcher\" }}{{ .${template.value} }}{{ end }}"
          destination = "secrets/${template.value}"
          perms       = "0444" # the folder is the task's own; its user must read it
          change_mode = "noop" # read at the start: scripts/rotate-tokens rolls the job
        }
      }

      # Measured under 5 orders a second (docs/cluster.md): half as much memory again, twice the CPU.
      resources {
        cpu    = 300
        memory = 208
      }
    }
  }
}
