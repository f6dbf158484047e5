# History as a Cloud Run job of N tasks: each reads the objects whose names' hash is its share (--shard), and keeps its own
# journal in a bucket. `gcloud run jobs execute evpipe-backfill` runs it; run again it reads only what is not done.

variable "region" {
  description = "The job's region."
  type        = string
}
variable "labels" {
  description = "Labels of the job."
  type        = map(string)
}
variable "image" {
  description = "The container image."
  type        = string
}
variable "service_account" {
  description = "The address of the account that it runs as."
  type        = string
}
variable "journal" {
  description = "gs://BUCKET/FOLDER of the journals, one for each share."
  type        = string
}
variable "environment" {
  description = "Settings of the backfill, by name of the variable."
  type        = map(string)
}
variable "settings" {
  description = "See the variable backfill of the root."
  type = object({
    from            = list(string)
    tasks           = number
    parallelism     = number
    cpu             = string
    memory          = string
    timeout_seconds = number
  })
}

terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

locals {
  # BigQuery takes 1,500 load jobs into a table a day, of all tasks together: each lingers so long that its part is kept.
  linger = max(60, 58 * var.settings.tasks)

  # Cloud Run tells each task which one it is.
  script = <<-END
    share=$CLOUD_RUN_TASK_INDEX/$CLOUD_RUN_TASK_COUNT
    exec evpipe-backfill --log-format json --shard "$share" --journal "$0/$${share/\//-of-}" --from "$@"
  END
}

resource "google_cloud_run_v2_job" "backfill" {
  name                = "evpipe-backfill"
  location            = var.region
  labels              = var.labels
  deletion_protection = false # it holds nothing: the journals are in the bucket

  template {
    task_count  = var.settings.tasks
    parallelism = var.settings.parallelism

    template {
      service_account       = var.service_account
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      max_retries           = 3
      timeout               = "${var.settings.timeout_seconds}s"

      containers {
        image   = var.image
        command = ["bash", "-c", local.script]
        args    = concat([var.journal], var.settings.from)

        dynamic "env" {
          for_each = merge(var.environment, { EVPIPE_LINGER = local.linger })
          content {
            name  = env.key
            value = env.value
          }
        }

        resources {
          limits = { cpu = var.settings.cpu, memory = var.settings.memory }
        }
      }
    }
  }
}

output "job" {
  description = "The job."
  value       = google_cloud_run_v2_job.backfill
}
