# What a plain `terraform apply -var project=...` makes: the pipeline, and nothing that runs.

mock_provider "google" {}

override_resource {
  target = google_pubsub_topic.dlq
  values = { id = "projects/shop-prod/topics/backend-events-dlq-topic" }
}

variables {
  project = "shop-prod"
}

run "defaults" {
  assert {
    condition     = length(module.fleet) == 0 && length(module.backfill) == 0 && length(google_project_iam_member.load) == 0 && length(google_project_iam_member.build_log) == 0
    error_message = "Fleet and backfill are off, and nobody may do anything in the whole project."
  }
  assert {
    condition = (google_pubsub_subscription.events.ack_deadline_seconds == 60
      && google_pubsub_subscription.events.dead_letter_policy[0].max_delivery_attempts == 100
      && google_pubsub_subscription.events.dead_letter_policy[0].dead_letter_topic == "projects/shop-prod/topics/backend-events-dlq-topic"
      && length(google_pubsub_subscription.events.retry_policy) == 1
    && google_pubsub_subscription.events.expiration_policy[0].ttl == "")
    error_message = "The subscription: 60 s leases, Pub/Sub's dead-letter policy as a backstop, retries, no expiry."
  }
  assert {
    condition = (google_pubsub_subscription.dlq.expiration_policy[0].ttl == ""
      && google_pubsub_subscription.dlq.message_retention_duration == "2678400s"
    && google_pubsub_topic.dlq.message_retention_duration == "2678400s")
    error_message = "Dead letters are kept as long as Pub/Sub keeps anything."
  }
  assert {
    condition = alltrue([for b in [google_storage_bucket.lake, google_storage_bucket.staging] : b.uniform_bucket_level_access
      && b.public_access_prevention == "enforced" && length(b.lifecycle_rule) > 0 && b.force_destroy == false
    && b.soft_delete_policy[0].retention_duration_seconds >= 604800])
    error_message = "Buckets: uniform access, never public, a lifecycle, deletes can be taken back."
  }
  assert {
    condition = alltrue([for t in google_bigquery_table.events : t.deletion_protection && t.time_partitioning[0].type == "DAY"
    && length(t.clustering) > 0 && length(t.description) > 0])
    error_message = "Tables: protected, by day, clustered, described."
  }
  assert {
    condition     = keys(google_bigquery_table.unique) == keys(google_bigquery_table.events)
    error_message = "Each table has its view."
  }
  assert {
    condition     = google_storage_bucket.lake.location == "us-central1" && google_bigquery_dataset.events.location == "us-central1"
    error_message = "Load jobs want the lake and the dataset in one place."
  }
  assert {
    condition     = alltrue([for a in google_monitoring_alert_policy.alert : length(a.documentation[0].content) > 200])
    error_message = "Each alert says what to do."
  }
  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.evpipe.dashboard_json).gridLayout.widgets) == 8
    error_message = "The dashboard has its charts."
  }
  assert {
    condition = (toset([for name, alert in google_monitoring_alert_policy.alert : name if length(alert.conditions[0].condition_matched_log) == 1]) == toset(["crash-loop"])
      && google_monitoring_alert_policy.alert["crash-loop"].alert_strategy[0].notification_rate_limit[0].period == "3600s"
      && alltrue([for name, alert in google_monitoring_alert_policy.alert : length(alert.conditions[0].condition_threshold) == 1
    && length(alert.alert_strategy[0].notification_rate_limit) == 0 if name != "crash-loop"]))
    error_message = "A crash is a log entry, told at a limited rate; the other alerts are on metrics."
  }
  assert {
    condition = (strcontains(google_monitoring_alert_policy.alert["no-rows"].conditions[0].condition_threshold[0].filter, "us-central1")
    && google_monitoring_alert_policy.alert["no-rows"].conditions[0].condition_threshold[0].aggregations[0].cross_series_reducer == "REDUCE_SUM")
    error_message = "Rows are counted where the dataset is, all together."
  }
  assert {
    condition     = google_monitoring_alert_policy.alert["backlog"].conditions[0].condition_threshold[0].threshold_value == 1000000
    error_message = "Without a fleet, a million messages are a backlog."
  }
  assert {
    condition = (alltrue([for api in ["cloudresourcemanager", "serviceusage"] : contains(keys(google_project_service.api), api)])
    && !contains(keys(google_project_service.api), "cloudbuild"))
    error_message = "What terraform itself asks is switched on, and nothing that is not used."
  }
  assert {
    condition     = output.environment == <<-END
      EVPIPE_BUCKET=shop-prod-events-output
      EVPIPE_DATASET=shop-prod:ecommerce_events
      EVPIPE_DLQ_TOPIC=backend-events-dlq-topic
      EVPIPE_PROJECT=shop-prod
      EVPIPE_SUBSCRIPTION=backend-events-topic-sub
      GOOGLE_CLOUD_PROJECT=shop-prod
    END
    error_message = "The environment file of scripts/stream."
  }
}
