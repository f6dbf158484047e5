# Everything that scripts/stream expects to find, under the names that it expects. See README.md.

provider "google" {
  project = var.project
  region  = var.region
}

locals {
  location = coalesce(var.location, var.region)
  bucket   = coalesce(var.bucket, "${var.project}-events-output")

  # The first two are what terraform itself asks about services and about grants on the project; it cannot switch them on
  # by itself, so README.md has the command. They are here to stay on.
  apis = concat(
    ["cloudresourcemanager", "serviceusage"],
    ["artifactregistry", "bigquery", "iam", "iamcredentials", "logging", "monitoring", "pubsub", "storage"],
    var.fleet == null ? [] : ["compute"],
    var.backfill == null ? [] : ["run"],
    var.build ? ["cloudbuild"] : [],
  )
}

resource "google_project_service" "api" {
  for_each           = toset(local.apis)
  project            = var.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false # others in the project may use it
}

resource "google_artifact_registry_repository" "images" {
  repository_id = "evpipe"
  location      = var.region
  format        = "DOCKER"
  description   = "Images of the pipeline."
  labels        = var.labels

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }
  # What runs may be older than 90 days and 20 pushes; machines that are made later want it, too.
  cleanup_policies {
    id     = "keep-deployed"
    action = "KEEP"
    condition {
      tag_state    = "TAGGED"
      tag_prefixes = ["deployed-"]
    }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "7776000s" # 90 days
    }
  }

  depends_on = [google_project_service.api]
}

module "fleet" {
  source = "./modules/fleet"
  count  = var.fleet == null ? 0 : 1

  project         = var.project
  region          = var.region
  labels          = var.labels
  image           = var.image
  repository      = google_artifact_registry_repository.images.repository_id
  service_account = google_service_account.account["stream"]
  subscription    = google_pubsub_subscription.events.name
  environment     = local.environment
  settings        = var.fleet

  depends_on = [google_project_service.api]
}

module "backfill" {
  source = "./modules/backfill"
  count  = var.backfill == null ? 0 : 1

  region          = var.region
  labels          = var.labels
  image           = var.image
  service_account = google_service_account.account["backfill"].email
  journal         = "gs://${google_storage_bucket.staging.name}/backfill"
  environment     = local.environment
  settings        = var.backfill

  depends_on = [google_project_service.api]
}
