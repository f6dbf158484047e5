# With all that can be switched on.

mock_provider "google" {}

variables {
  project             = "shop-prod"
  location            = "EU"
  image               = "us-central1-docker.pkg.dev/shop-prod/evpipe/evpipe:0.1.0"
  alert_emails        = ["ops@example.com", "ann@example.com"]
  alert_slack         = { channel = "#events", auth_token = "slack-token" }
  alert_pagerduty_key = "0123456789abcdef0123456789abcdef"
  impersonators       = ["group:ops@example.com"]
  build               = true
  fleet               = { max_instances = 20 }
  backfill            = { from = ["gs://old-events/data/**/*.json", "gs://older/*.gz", "gs://old-events/more/*"], tasks = 8 }
}

run "everything" {
  assert {
    condition = (length(google_monitoring_notification_channel.email) == 2
      && google_monitoring_notification_channel.slack[0].labels.channel_name == "#events"
      && google_monitoring_notification_channel.slack[0].sensitive_labels[0].auth_token == "slack-token"
    && google_monitoring_notification_channel.pagerduty[0].sensitive_labels[0].service_key == var.alert_pagerduty_key)
    error_message = "A channel for each address, Slack and PagerDuty."
  }
  assert {
    condition     = alltrue([for a in google_monitoring_alert_policy.alert : length(a.notification_channels) == 4])
    error_message = "Every alert goes to every channel."
  }
  assert {
    condition = toset([for g in google_storage_bucket_iam_member.history : "${g.bucket} ${g.role}"]) == toset([
    "old-events roles/storage.objectViewer", "older roles/storage.objectViewer"])
    error_message = "History is read from the buckets of the URLs, each once."
  }
  assert {
    condition = (module.fleet[0].autoscaler.autoscaling_policy[0].max_replicas == 20
      && module.fleet[0].autoscaler.autoscaling_policy[0].metric[0].name == "pubsub.googleapis.com/subscription/num_undelivered_messages"
    && strcontains(module.fleet[0].autoscaler.autoscaling_policy[0].metric[0].filter, "\"backend-events-topic-sub\""))
    error_message = "The fleet grows with the subscription's backlog."
  }
  assert {
    condition = (yamldecode(module.fleet[0].template.metadata["user-data"]).write_files[0].content == output.environment
      && strcontains(yamldecode(module.fleet[0].template.metadata["user-data"]).write_files[1].content, " ${var.image} stream ")
    && alltrue([for i in module.fleet[0].template.network_interface : length(i.access_config) == 0]))
    error_message = "Machines run the image on that subscription, and have no address outside."
  }
  assert {
    condition = (module.backfill[0].job.template[0].task_count == 8
      && slice(module.backfill[0].job.template[0].template[0].containers[0].args, 0, 2) == tolist(["gs://shop-prod-events-staging/backfill", "gs://old-events/data/**/*.json"])
    && strcontains(module.backfill[0].job.template[0].template[0].containers[0].command[2], "--shard \"$share\""))
    error_message = "The backfill has a share for each task."
  }
  assert {
    condition     = [for env in module.backfill[0].job.template[0].template[0].containers[0].env : env.value if env.name == "EVPIPE_LINGER"] == ["464"]
    error_message = "The tasks share BigQuery's 1,500 load jobs: 8 * 86400 / 464 are 1,490."
  }
  assert {
    condition = alltrue([for line in ["FailureAction=poweroff-force", "Restart=on-failure", "RestartPreventExitStatus=64 77 78"] :
    strcontains(yamldecode(module.fleet[0].template.metadata["user-data"]).write_files[1].content, "${line}\n")])
    error_message = "A machine whose chain ended for good goes off."
  }
  assert {
    condition     = google_monitoring_alert_policy.alert["backlog"].conditions[0].condition_threshold[0].threshold_value == 6000000
    error_message = "A backlog is more than what the whole fleet is for."
  }
  assert {
    condition     = contains(keys(google_project_service.api), "cloudbuild") && output.image == var.image
    error_message = "Builds have their service, and whoever applies without one finds the image that runs."
  }
  assert {
    condition     = google_storage_bucket.lake.location == "EU" && google_bigquery_dataset.events.location == "EU"
    error_message = "The location is that of the lake and the dataset."
  }
  assert {
    condition     = length(google_service_account_iam_member.impersonator) == length(google_service_account.account)
    error_message = "Impersonators may act as each account."
  }
}

run "refuses_nonsense" {
  command = plan
  variables {
    project               = "Shop"
    region                = "mars"
    location              = "Europe"
    topic                 = "google-events"
    dataset               = "ecommerce-events"
    bucket                = "Lake"
    alert_emails          = ["ann"]
    alert_slack           = { channel = "events", auth_token = "t" }
    impersonators         = ["allUsers"]
    alerts                = { dead_letter_days = 31 }
    lake_age_days         = { coldline = 10 }
    fleet                 = { messages_per_instance = 100000 }
    backfill              = { from = ["s3://elsewhere/x"] }
    lake_soft_delete_days = 3
  }
  expect_failures = [var.project, var.region, var.location, var.topic, var.dataset, var.bucket,
  var.alert_emails, var.alert_slack, var.impersonators, var.alerts, var.lake_age_days, var.fleet, var.backfill, var.lake_soft_delete_days]
}

run "refuses_more_nonsense" {
  command = plan
  variables {
    labels              = { App = "evpipe" }
    schemas             = "no-such-file.json"
    alert_pagerduty_key = "key"
    fleet               = { max_instances = 250 } # with its 4 more, and Google's 4, more than a /24 has
    backfill            = { from = ["gs://old-events/x"], tasks = 4, parallelism = 5 }
  }
  expect_failures = [var.labels, var.schemas, var.alert_pagerduty_key, var.fleet, var.backfill]
}

run "refuses_machines_and_tasks_that_there_are_not" {
  command = plan
  variables {
    labels   = { app = "Evpipe" }
    fleet    = { machine_type = "large machine" }
    backfill = { from = ["gs://old-events/x"], cpu = "3" }
  }
  expect_failures = [var.labels, var.fleet, var.backfill]
}

run "refuses_networks_and_memory_that_there_are_not" {
  command = plan
  variables {
    fleet    = { subnet = "10.20.0.0" }
    backfill = { from = ["gs://old-events/x"], memory = "4GB" }
  }
  expect_failures = [var.fleet, var.backfill]
}

run "refuses_times_that_there_are_not" {
  command = plan
  variables {
    alerts   = { backlog_messages = -1 }
    backfill = { from = ["gs://old-events/x"], timeout_seconds = 604801 }
  }
  expect_failures = [var.alerts, var.backfill]
}

run "refuses_what_does_not_go_together" {
  command = plan
  variables {
    dlq_topic = "backend-events-topic"
    image     = null
  }
  expect_failures = [var.dlq_topic, var.image]
}
