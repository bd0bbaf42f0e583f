# The store's replicas, one LMDB each. A replica is its disk: it is updated in place, one after the other, and never moves.

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
  description = "Nomad clients that the system may use; from two on, no two replicas share one."
  type        = number
  default     = 1

  validation {
    condition     = var.machines >= 1 && floor(var.machines) == var.machines
    error_message = "The machines must be a whole number from 1 on."
  }
}

variable "instances" {
  description = "Replicas. Three with RF 2: a machine may die, and the copies that it held are made again on the others."
  type        = number
  default     = 3

  validation {
    condition     = var.instances >= 1 && var.instances <= 9 && floor(var.instances) == var.instances
    error_message = "The instances must be a whole number between 1 and 9."
  }
}

variable "rf" {
  description = "Copies of each key, for a new store. 2 survives one machine; 3 costs half as much again in writes."
  type        = number
  default     = 2

  validation {
    condition     = var.rf >= 1 && var.rf <= 3 && floor(var.rf) == var.rf
    error_message = "The replication factor must be 1, 2 or 3."
  }
}

variable "data_dir" {
  description = "Where the replicas' disks are under raw_exec, which mounts no volumes."
  type        = string
  default     = "/var/lib/dronedispatch"

  validation {
    condition     = substr(var.data_dir, 0, 1) == "/"
    error_message = "The folder must be an absolute path."
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

locals {
  # With a machine each, a replica is called after its machine, whose disk it is; on one machine by its index.
  replica   = var.machines > 1 ? "$${node.unique.name}" : "kvstore-$${NOMAD_ALLOC_INDEX}"
  replicas  = var.machines > 1 ? min(var.instances, var.machines) : var.instances
  data_path = var.driver == "raw_exec" ? "${var.data_dir}/${local.replica}" : var.machines > 1 ? "/data" : "/data/${local.replica}"
}

job "kvstore" {
  type = "service"

  # scripts/deploy, rollout and rotate-tokens read it back: what runs is kept unless it is told otherwise.
  meta {
    variables = jsonencode({ driver = var.driver, release = var.release, machines = var.machines, rf = var.rf, data_dir = var.data_dir, generation = var.generation })
  }

  # No canary: a second process must not open the same disk. One by one, and the next only when the last is in sync again,
  # which is what /health of a kvstore means by ready.
  update {
    max_parallel      = 1
    auto_revert       = true # back to the last version that was healthy
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "5m" # a replica that was away for long reads the changes first
    progress_deadline = "10m"
  }

  group "replica" {
    count = local.replicas

    scaling {
      enabled = true
      min     = 1 # `nomad job scale` is refused below and above
      max     = 9
    }

    consul {} # where the servers name a workload identity for Consul, the task is given a token of its own

    dynamic "constraint" {
      for_each = var.machines > 1 ? ["one a machine"] : []
      content {
        operator = "distinct_hosts"
        value    = "true"
      }
    }

    dynamic "spread" {
      for_each = var.machines > 1 ? ["over the machines"] : []
      content {
        attribute = "${node.unique.name}"
        weight    = 100
      }
    }

    restart {
      attempts = 10
      interval = "5m"
      delay    = "5s"
      mode     = "delay" # the disk is here: trying elsewhere is no use
    }

    reschedule {
      attempts  = 0
      unlimited = false
    }

    network {
      port "http" {}
    }

    # exec mounts the client's host volume; raw_exec mounts nothing and writes below data_dir.
    dynamic "volume" {
      for_each = var.driver == "exec" ? ["data"] : []
      labels   = ["data"]
      content {
        type      = "host"
        source    = "kvstore"
        read_only = false
      }
    }

    # The same name, tags and meta as a self-registered instance has (scripts/up): nobody sees who registered it.
    service {
      name = "kvstore"
      port = "http"
      tags = ["dronedispatch"]

      meta {
        name         = local.replica
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

    task "kvstore" {
      driver = var.driver
      user   = var.driver == "exec" ? "dronedispatch" : ""

      shutdown_delay = "3s"      # out of Consul first; twice the second that a watcher needs to notice
      kill_signal    = "SIGTERM" # Nomad's default is SIGINT
      kill_timeout   = "20s"     # above KVSTORE_DRAIN_S, below the client's cap of 30 s

      config {
        command = "${var.release}/bin/dronedispatch"
        args    = ["kvstore"]
      }

      env {
        KVSTORE_HOST         = "${NOMAD_IP_http}"
        KVSTORE_PORT         = "${NOMAD_PORT_http}"
        KVSTORE_INSTANCE     = local.replica
        KVSTORE_DATA_DIR     = local.data_path
        KVSTORE_REGISTRATION = "nomad"
        KVSTORE_DRAIN_S      = "10"
        STORE_TOKEN_FILE     = "${NOMAD_SECRETS_DIR}/store_token"
        METRICS_TOKEN_FILE   = "${NOMAD_SECRETS_DIR}/metrics_token"
        SERVICE_SECRET_FILE  = "${NOMAD_SECRETS_DIR}/service_secret"
      }

      dynamic "volume_mount" {
        for_each = var.driver == "exec" ? ["data"] : []
        content {
          volume      = "data"
          destination = "/data"
          read_only   = false
        }
      }

      # One file each, from the job's own Nomad Variable, which no other job can read.
      dynamic "template" {
        for_each = ["store_token", "metrics_token", "service_secret"]
        content {
          data        = "{{ with nomadVar \"nomad/jobs/kvstore\" }}{{ .${template.value} }}{{ end }}"
          destination = "secrets/${template.value}"
          perms       = "0444" # the folder is the task's own; its user must read it
          change_mode = "noop" # read at the start: scripts/rotate-tokens rolls the job
        }
      }

      # Measured under 5 orders a second (docs/cluster.md): half as much memory again, twice the CPU.
      resources {
        cpu    = 100
        memory = 160
      }
    }

    # Writes the store's first view (which replicas hold which slots), once: an existing view is success.
    task "bootstrap" {
      driver = var.driver
      user   = var.driver == "exec" ? "dronedispatch" : ""

      lifecycle {
        hook = "poststart"
      }

      config {
        command = "${var.release}/bin/dronedispatch"
        args    = ["kvctl", "bootstrap", "--rf", "${min(var.rf, local.replicas)}", "--replicas", "${local.replicas}"]
      }

      env {
        STORE_TOKEN_FILE = "${NOMAD_SECRETS_DIR}/store_token"
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/kvstore\" }}{{ .store_token }}{{ end }}"
        destination = "secrets/store_token"
        perms       = "0444"
        change_mode = "noop"
      }

      resources {
        cpu    = 50
        memory = 80
      }
    }
  }
}
