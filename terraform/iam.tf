# Who may do what. Each account has duties; each duty is a grant on one resource, and for load jobs alone, which belong to
# no resource, on the project.
#
# One account a tool serves the tools as units of their own, each on its own account or host. A process tree has one
# account: `stream` is what scripts/stream runs as, on a machine or in the fleet, and has the duties of its stages, and
# `backfill` likewise.

locals {
  duties = merge(
    {
      puller       = ["pull"]
      validator    = [] # reads a pipe, writes a pipe
      loader       = ["insert"]
      lake         = ["lake"]
      dead-letters = ["dead-letter"]
      replayer     = ["replay"]
      stream       = ["pull", "insert", "lake", "dead-letter"]
    },
    var.backfill == null ? {} : {
      reader   = ["read"]
      load-job = ["insert", "load"]
      backfill = ["read", "insert", "load", "lake", "dead-letter"]
    },
    var.build ? { build = ["build"] } : {},
  )

  # Duty to accounts, as for_each wants it.
  has = { for duty in ["pull", "insert", "lake", "dead-letter", "replay", "read", "load", "build"] :
  duty => toset([for account, duties in local.duties : account if contains(duties, duty)]) }

  history = var.backfill == null ? [] : distinct([for url in var.backfill.from : regex("^gs://([^/]+)/", url)[0]])
}

resource "google_service_account" "account" {
  for_each     = local.duties
  account_id   = "evpipe-${each.key}"
  display_name = "evpipe: ${each.key}"
  description  = length(each.value) == 0 ? "May nothing." : "Duties: ${join(", ", each.value)}."
  depends_on   = [google_project_service.api]
}

resource "google_service_account_iam_member" "impersonator" {
  for_each           = { for pair in setproduct(keys(local.duties), var.impersonators) : join(" ", pair) => pair }
  service_account_id = google_service_account.account[each.value[0]].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value[1]
}

# ---- Pub/Sub ---------------------------------------------------------------------------------------------------------

resource "google_pubsub_subscription_iam_member" "pull" {
  for_each     = local.has["pull"]
  subscription = google_pubsub_subscription.events.name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.account[each.key].member
}

resource "google_pubsub_topic_iam_member" "dead_letter" {
  for_each = local.has["dead-letter"]
  topic    = google_pubsub_topic.dlq.name
  role     = "roles/pubsub.publisher"
  member   = google_service_account.account[each.key].member
}

resource "google_pubsub_subscription_iam_member" "replay_from" {
  for_each     = local.has["replay"]
  subscription = google_pubsub_subscription.dlq.name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.account[each.key].member
}

resource "google_pubsub_topic_iam_member" "replay_to" {
  for_each = local.has["replay"]
  topic    = google_pubsub_topic.events.name
  role     = "roles/pubsub.publisher"
  member   = google_service_account.account[each.key].member
}

# The dead-letter policy of the subscription is carried out by Pub/Sub's own agent, and not at all without these two.
locals {
  pubsub_agent = "serviceAccount:service-${google_storage_bucket.lake.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_subscription_iam_member" "agent_takes" {
  subscription = google_pubsub_subscription.events.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

resource "google_pubsub_topic_iam_member" "agent_publishes" {
  topic  = google_pubsub_topic.dlq.name
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

# ---- BigQuery --------------------------------------------------------------------------------------------------------

# roles/bigquery.dataEditor could also read every row and drop the tables. Load jobs need no more than this either, for
# bq-load's neither create tables (CREATE_NEVER) nor alter them; the documentation's list for load jobs also has the
# permissions of those that do.
resource "google_project_iam_custom_role" "row_writer" {
  role_id     = "evpipeRowWriter"
  title       = "evpipe: add rows"
  description = "Add rows to the tables of a dataset, and see what columns they have."
  permissions = ["bigquery.datasets.get", "bigquery.tables.get", "bigquery.tables.updateData"]
  depends_on  = [google_project_service.api]
}

resource "google_bigquery_dataset_iam_member" "insert" {
  for_each   = local.has["insert"]
  dataset_id = google_bigquery_dataset.events.dataset_id
  role       = google_project_iam_custom_role.row_writer.name
  member     = google_service_account.account[each.key].member
}

# ---- Cloud Storage ---------------------------------------------------------------------------------------------------

resource "google_storage_bucket_iam_member" "lake" {
  for_each = local.has["lake"]
  bucket   = google_storage_bucket.lake.name
  role     = "roles/storage.objectCreator" # neither reads nor deletes
  member   = google_service_account.account[each.key].member
}

# ---- backfill: only where there is one ---------------------------------------------------------------------------------

resource "google_storage_bucket_iam_member" "history" {
  for_each = { for pair in setproduct(local.has["read"], local.history) : join(" ", pair) => pair }
  bucket   = each.value[1]
  role     = "roles/storage.objectViewer"
  member   = google_service_account.account[each.value[0]].member
}

# A journal's entries are made, listed and read, and never changed.
resource "google_storage_bucket_iam_member" "journal_writes" {
  for_each = local.has["read"]
  bucket   = google_storage_bucket.staging.name
  role     = "roles/storage.objectCreator"
  member   = google_service_account.account[each.key].member
}

resource "google_storage_bucket_iam_member" "journal_reads" {
  for_each = local.has["read"]
  bucket   = google_storage_bucket.staging.name
  role     = "roles/storage.objectViewer"
  member   = google_service_account.account[each.key].member
}

# Jobs belong to a project: there is nothing smaller that this could be granted on.
resource "google_project_iam_custom_role" "load_jobs" {
  count       = var.backfill == null ? 0 : 1
  role_id     = "evpipeLoadJobs"
  title       = "evpipe: run load jobs"
  description = "Run jobs, and list one's own to find those that a lost journal had."
  permissions = ["bigquery.jobs.create", "bigquery.jobs.list"]
  depends_on  = [google_project_service.api]
}

resource "google_project_iam_member" "load" {
  for_each = local.has["load"]
  project  = var.project
  role     = google_project_iam_custom_role.load_jobs[0].name
  member   = google_service_account.account[each.key].member
}

# A load job reads the lake's objects as who submitted it.
resource "google_project_iam_custom_role" "lake_reader" {
  count       = var.backfill == null ? 0 : 1
  role_id     = "evpipeLakeReader"
  title       = "evpipe: load from the lake"
  description = "Read objects whose names one knows."
  permissions = ["storage.buckets.get", "storage.objects.get"]
  depends_on  = [google_project_service.api]
}

resource "google_storage_bucket_iam_member" "load" {
  for_each = local.has["load"]
  bucket   = google_storage_bucket.lake.name
  role     = google_project_iam_custom_role.lake_reader[0].name
  member   = google_service_account.account[each.key].member
}

# ---- cloudbuild.yaml: only where it is wanted. Who lets it deploy grants it what its head names. --------------------------

resource "google_artifact_registry_repository_iam_member" "push_image" {
  for_each   = local.has["build"]
  location   = var.region
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.account[each.key].member
}

resource "google_project_iam_member" "build_log" {
  for_each = local.has["build"]
  project  = var.project
  role     = "roles/logging.logWriter" # logs are the project's
  member   = google_service_account.account[each.key].member
}
