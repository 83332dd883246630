# Baton on Nomad: a group for each region, the same in every datacenter. docs/deploy/nomad.md says how to use it.
variable "image" {
  type        = string
  description = "your image, FROM baton with your handlers"
}

variable "regions" {
  type        = map(object({ datacenters = list(string), count = number }))
  description = "region => where its pods run and how many; an empty region of the service is one with count 0"
}

variable "etcd_endpoints" {
  type = list(string)
}

variable "temporal_address" {
  type = string
}

variable "drain_limit_seconds" {
  type        = number
  default     = 30
  description = "the longest drainLimitMs of all locks"
}

variable "locks" {
  type        = string
  description = "the part of baton.yaml below `locks:`, as YAML or JSON"
}

job "baton" {
  type        = "service"
  datacenters = distinct(flatten([for region in values(var.regions) : region.datacenters]))

  dynamic "group" {
    for_each = var.regions
    labels   = [group.key]

    content {
      count = group.value.count

      constraint {
        attribute = "$${node.datacenter}"
        operator  = "set_contains_any"
        value     = join(",", group.value.datacenters)
      }

      spread {
        attribute = "$${node.unique.id}"
      }

      # One at a time, and only after the new one is ready: an allocation that ends hands over to it.
      update {
        max_parallel     = 1
        canary           = 1
        auto_promote     = true
        auto_revert      = true
        health_check     = "checks"
        min_healthy_time = "5s"
        healthy_deadline = "5m"
      }

      # `nomad node drain` moves one allocation after the other.
      migrate {
        max_parallel     = 1
        health_check     = "checks"
        min_healthy_time = "5s"
      }

      restart {
        attempts = 3
        interval = "5m"
        delay    = "2s"
        mode     = "delay"
      }

      network {
        port "health" {}
      }

      service {
        name     = "baton"
        port     = "health"
        provider = "nomad"
        tags     = [group.key, "metrics"]

        check {
          name     = "ready"
          type     = "http"
          path     = "/readyz"
          interval = "5s"
          timeout  = "2s"
        }
      }

      # Not the one above: a pod that waits for its broker must not be restarted.
      service {
        name     = "baton-live"
        port     = "health"
        provider = "nomad"

        check {
          name     = "live"
          type     = "http"
          path     = "/livez"
          interval = "10s"
          timeout  = "5s"

          check_restart {
            limit = 3
            grace = "60s"
          }
        }
      }

      # Once, before the pods: calling it again changes nothing.
      task "start-region" {
        driver = "docker"
        user   = "10001"

        lifecycle {
          hook = "prestart"
        }

        config {
          image           = var.image
          args            = ["start", "--region", group.key, "--config", "/local/baton.yaml"]
          readonly_rootfs = true
          cap_drop        = ["all"]
          security_opt    = ["no-new-privileges"]
        }

        template {
          destination = "local/baton.yaml"
          data        = local.config
        }

        template {
          destination = "secrets/baton.env"
          env         = true
          data        = local.secrets
        }

        resources {
          cpu    = 100
          memory = 256
        }
      }

      task "worker" {
        driver       = "docker"
        user         = "10001"
        kill_signal  = "SIGTERM"
        kill_timeout = "${var.drain_limit_seconds + 20}s"

        config {
          image           = var.image
          args            = ["worker", "--region", group.key, "--config", "/local/baton.yaml"]
          ports           = ["health"]
          network_mode    = "host"
          readonly_rootfs = true
          cap_drop        = ["all"]
          security_opt    = ["no-new-privileges"]

          mount {
            type   = "tmpfs"
            target = "/tmp"
          }
        }

        env {
          BATON_POD_NAME    = "$${NOMAD_SHORT_ALLOC_ID}"
          BATON_HEALTH_PORT = "$${NOMAD_PORT_health}"
        }

        template {
          destination = "local/baton.yaml"
          data        = local.config
        }

        # A secret that changes reaches the pod with a restart, which hands over first.
        template {
          destination = "secrets/baton.env"
          env         = true
          change_mode = "restart"
          splay       = "60s"
          data        = local.secrets
        }

        resources {
          cpu        = 250
          memory     = 384
          memory_max = 768
        }
      }
    }
  }
}

locals {
  config = yamlencode({
    regions  = { for name, region in var.regions : name => {} }
    etcd     = { endpoints = var.etcd_endpoints }
    temporal = { address = var.temporal_address }
    locks    = yamldecode(var.locks)
  })

  # Nomad variables that the job may read by itself: `nomad var put nomad/jobs/baton etcd_password=…`.
  secrets = <<-TEMPLATE
    {{ with nomadVar "nomad/jobs/baton" -}}
    BATON_ETCD_USERNAME={{ .etcd_username }}
    BATON_ETCD_PASSWORD={{ .etcd_password }}
    BATON_TEMPORAL_API_KEY={{ .temporal_api_key }}
    {{ end -}}
    {{ with nomadVar (print "nomad/jobs/baton/" (env "NOMAD_GROUP_NAME")) -}}
    BATON_RABBITMQ_URL={{ .rabbitmq_url }}
    {{ end -}}
  TEMPLATE
}
