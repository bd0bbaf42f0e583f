# Optional: Prometheus with every instance that Consul knows, judging by the release's rules (etc/prometheus/rules).

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

variable "prometheus" {
  description = "The Prometheus program on the machine (Debian's package)."
  type        = string
  default     = "/usr/bin/prometheus"

  validation {
    condition     = substr(var.prometheus, 0, 1) == "/"
    error_message = "The program must be an absolute path."
  }
}

locals {
  files = {
    "secrets/metrics_token" = "{{ with nomadVar \"nomad/jobs/prometheus\" }}{{ .metrics_token }}{{ end }}"
    "local/prometheus.yml"  = <<-EOT
      global: { scrape_interval: 5s, scrape_timeout: 4s, evaluation_interval: 5s }
      rule_files: ["${var.release}/etc/prometheus/rules/*.yml"]
      scrape_configs:
        - job_name: dronedispatch
          authorization: { credentials_file: "{{ env "NOMAD_SECRETS_DIR" }}/metrics_token" }
          file_sd_configs: [{ files: ["{{ env "NOMAD_TASK_DIR" }}/dronedispatch.yml"], refresh_interval: 1m }]
        # The broker's own figures, per queue: the dead letters would drown in a sum.
        - job_name: rabbitmq
          metrics_path: /metrics/detailed
          params: { family: [queue_coarse_metrics], vhost: [dronedispatch] }
          file_sd_configs: [{ files: ["{{ env "NOMAD_TASK_DIR" }}/rabbitmq.yml"], refresh_interval: 1m }]
      EOT
    # Every instance, healthy or not: one that does not answer is a sample too. The door answers at the port that its entry names.
    "local/dronedispatch.yml" = <<-EOT
      {{ range services }}{{ if .Tags | contains "dronedispatch" }}{{ range service (print .Name "|any") }}
      - targets: ["{{ .Address }}:{{ .ServiceMeta.metrics_port }}"]
        labels: { service: "{{ .Name }}", instance: "{{ .ID }}", machine: "{{ .Node }}" }
      {{ end }}{{ end }}{{ end }}
      EOT
    "local/rabbitmq.yml"      = <<-EOT
      {{ range service "rabbitmq|any" }}
      - targets: ["{{ .Address }}:15692"]
        labels: { service: "{{ .Name }}", instance: "{{ .ID }}", machine: "{{ .Node }}" }
      {{ end }}
      EOT
  }
}

job "prometheus" {
  type = "service"

  meta {
    variables = jsonencode({ driver = var.driver, release = var.release, prometheus = var.prometheus })
  }

  update {
    max_parallel      = 1
    auto_revert       = false # one that does not start is read, not rolled back
    health_check      = "checks"
    min_healthy_time  = "5s"
    healthy_deadline  = "2m"
    progress_deadline = "5m"
  }

  group "server" {
    consul {} # its templates read the catalogue: with ACLs, by the workload identity's own token

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
      user   = var.driver == "exec" ? "dronedispatch" : ""

      shutdown_delay = "3s" # out of Consul first
      kill_signal    = "SIGTERM"
      kill_timeout   = "20s" # it writes its head block

      config {
        command = var.prometheus
        args = [
          "--config.file=${NOMAD_TASK_DIR}/prometheus.yml",
          "--storage.tsdb.path=${NOMAD_ALLOC_DIR}/data",
          "--storage.tsdb.retention.time=15d",
          "--web.listen-address=${NOMAD_IP_http}:${NOMAD_PORT_http}",
        ]
      }

      # Prometheus reads each of these again when it changes, so that no change restarts it. Debian's is built without
      # Consul's discovery: Nomad's template asks Consul for it.
      dynamic "template" {
        for_each = local.files
        content {
          destination = template.key
          data        = template.value
          perms       = "0444"
          change_mode = "noop"
        }
      }

      # Measured under 5 orders a second (docs/cluster.md): half as much memory again, twice the CPU.
      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
