# The broker of a single machine (scripts/prepare-nomad runs it). A cluster has three of its own, set up by provisioning.

variable "program" {
  description = "RabbitMQ's own start program (Debian's package); the one in sbin insists on a user."
  type        = string
  default     = "/usr/lib/rabbitmq/bin/rabbitmq-server"

  validation {
    condition     = substr(var.program, 0, 1) == "/"
    error_message = "The program must be an absolute path."
  }
}

variable "data_dir" {
  description = "Where its queues live on this machine."
  type        = string
  default     = "/var/lib/dronedispatch/rabbitmq"

  validation {
    condition     = substr(var.data_dir, 0, 1) == "/"
    error_message = "The folder must be an absolute path."
  }
}

locals {
  files = {
    "rabbitmq.conf"    = <<-EOT
      listeners.tcp.1      = {{ env "NOMAD_ADDR_amqp" }}
      prometheus.tcp.ip    = {{ env "NOMAD_IP_amqp" }}
      prometheus.tcp.port  = 15692
      default_vhost        = dronedispatch
      load_definitions     = {{ env "NOMAD_SECRETS_DIR" }}/definitions.json
      disk_free_limit.absolute = 100MB
      EOT
    "definitions.json" = "{{ with nomadVar \"nomad/jobs/rabbitmq\" }}{{ .definitions }}{{ end }}"
    "enabled_plugins"  = "[rabbitmq_prometheus]."
  }
}

job "rabbitmq" {
  type = "service"

  group "broker" {
    network {
      port "amqp" {
        static = 5672
      }

      port "distribution" {}
      port "names" {}
    }

    service {
      name = "rabbitmq"
      port = "amqp"

      check {
        name     = "amqp"
        type     = "tcp"
        interval = "2s"
        timeout  = "2s"
      }
    }

    task "rabbitmq" {
      driver = "raw_exec"

      shutdown_delay = "3s" # out of Consul first
      kill_signal    = "SIGTERM"
      kill_timeout   = "25s"

      config {
        command = "/bin/sh"
        args    = ["-c", "umask 077 && mkdir -p \"$HOME\" && exec ${var.program}"]
      }

      env {
        HOME                                = var.data_dir
        RABBITMQ_NODENAME                   = "dronedispatch@localhost"
        RABBITMQ_DIST_PORT                  = "${NOMAD_PORT_distribution}"
        RABBITMQ_MNESIA_BASE                = "${var.data_dir}/mnesia"
        RABBITMQ_LOG_BASE                   = "${var.data_dir}/log"
        RABBITMQ_LOGS                       = "-"
        RABBITMQ_PID_FILE                   = "${NOMAD_TASK_DIR}/pid"
        RABBITMQ_CONFIG_FILE                = "${NOMAD_SECRETS_DIR}/rabbitmq.conf"
        RABBITMQ_ENABLED_PLUGINS_FILE       = "${NOMAD_SECRETS_DIR}/enabled_plugins"
        RABBITMQ_CONF_ENV_FILE              = "/dev/null"
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS = "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none"
        ERL_ZFLAGS                          = "-kernel inet_dist_use_interface {127,0,0,1}" # for its helpers, too
        ERL_EPMD_PORT                       = "${NOMAD_PORT_names}"
        ERL_EPMD_ADDRESS                    = "127.0.0.1"
        ERL_CRASH_DUMP_SECONDS              = "0"
        detached                            = "1" # the start script becomes the broker instead of waiting beside it
      }

      dynamic "template" {
        for_each = local.files
        content {
          destination = "secrets/${template.key}"
          data        = template.value
          change_mode = "noop"
        }
      }

      # Measured under 5 orders a second (docs/cluster.md): half as much memory again, twice the CPU.
      resources {
        cpu    = 150
        memory = 256
      }
    }
  }
}
