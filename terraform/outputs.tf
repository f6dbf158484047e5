locals {
  # What scripts/stream and scripts/backfill take from --env-file, and units from EnvironmentFile=.
  environment = {
    EVPIPE_PROJECT   = var.project
    EVPIPE_DLQ_TOPIC = google_pubsub_topic.dlq.name
    EVPIPE_DATASET   = "${var.project}:${google_bigquery_dataset.events.dataset_id}"
    EVPIPE_BUCKET    = google_storage_bucket.lake.name
  }
}

output "environment" {
  description = "The environment file of scripts/stream: terraform output -raw environment > /etc/evpipe/stream.conf"
  value = join("", [for name, value in merge(local.environment, {
    GOOGLE_CLOUD_PROJECT = var.project
    EVPIPE_SUBSCRIPTION  = google_pubsub_subscription.events.name
  }) : "${name}=${value}\n"])
}

output "names" {
  description = "What was made, by what it is for."
  value = {
    topic            = google_pubsub_topic.events.name
    subscription     = google_pubsub_subscription.events.name
    dlq_topic        = google_pubsub_topic.dlq.name
    dlq_subscription = google_pubsub_subscription.dlq.name
    bucket           = google_storage_bucket.lake.name
    staging_bucket   = google_storage_bucket.staging.name
    dataset          = google_bigquery_dataset.events.dataset_id
    tables           = [for table in google_bigquery_table.events : table.table_id]
    views            = [for view in google_bigquery_table.unique : view.table_id]
  }
}

output "accounts" {
  description = "The service accounts, by role."
  value       = { for role, account in google_service_account.account : role => account.email }
}

output "image_repository" {
  description = "Where images are pushed to."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

# It depends on who runs it, for an apply with -target leaves alone what depends on no target.
output "image" {
  description = "What fleet and backfill run: the variable image of an apply that shall leave it as it is."
  value       = var.image
  depends_on  = [module.fleet, module.backfill]
}

output "dashboard" {
  description = "The dashboard's id."
  value       = google_monitoring_dashboard.evpipe.id
}
