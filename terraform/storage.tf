# The lake: what gcs-put wrote stays as it is. Nobody in the pipeline may overwrite or delete, and what somebody else
# deletes can be restored for a while.
resource "google_storage_bucket" "lake" {
  name                        = local.bucket
  location                    = local.location
  labels                      = var.labels
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  soft_delete_policy {
    retention_duration_seconds = var.lake_soft_delete_days * 86400
  }

  dynamic "lifecycle_rule" {
    for_each = { NEARLINE = var.lake_age_days.nearline, COLDLINE = var.lake_age_days.coldline, ARCHIVE = var.lake_age_days.archive }
    content {
      action {
        type          = "SetStorageClass"
        storage_class = lifecycle_rule.key
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }

  depends_on = [google_project_service.api]
}

# Journals of backfills that have no disk of their own.
resource "google_storage_bucket" "staging" {
  name                        = "${var.project}-events-staging"
  location                    = local.location
  labels                      = var.labels
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  soft_delete_policy {
    retention_duration_seconds = 7 * 86400
  }

  # BigQuery forgets jobs after 180 days: from then on a journal does not save a file from being loaded again.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 180
    }
  }

  depends_on = [google_project_service.api]
}
