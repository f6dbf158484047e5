resource "google_monitoring_notification_channel" "email" {
  for_each     = var.alert_emails
  display_name = "evpipe: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
  depends_on   = [google_project_service.api]
}

resource "google_monitoring_notification_channel" "slack" {
  count        = nonsensitive(var.alert_slack != null) ? 1 : 0
  display_name = "evpipe: Slack"
  type         = "slack"
  labels       = { channel_name = var.alert_slack.channel }
  sensitive_labels {
    auth_token = var.alert_slack.auth_token
  }
  depends_on = [google_project_service.api]
}

resource "google_monitoring_notification_channel" "pagerduty" {
  count        = nonsensitive(var.alert_pagerduty_key != null) ? 1 : 0
  display_name = "evpipe: PagerDuty"
  type         = "pagerduty"
  sensitive_labels {
    service_key = var.alert_pagerduty_key
  }
  depends_on = [google_project_service.api]
}

locals {
  channels = concat(
    [for channel in google_monitoring_notification_channel.email : channel.name],
    google_monitoring_notification_channel.slack[*].name,
    google_monitoring_notification_channel.pagerduty[*].name,
  )

  subscriptions = { events = google_pubsub_subscription.events.name, dlq = google_pubsub_subscription.dlq.name }
  of = { for key, name in local.subscriptions : key => {
    age     = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${name}\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
    backlog = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
    acked   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${name}\" AND metric.type=\"pubsub.googleapis.com/subscription/ack_message_count\""
  } }
  # Of the project and where the dataset is: BigQuery counts these at once, while its rows by table come with hours of delay.
  # (The label is us-central1 for a region; how it writes EU and US is not documented.)
  rows = "resource.type=\"bigquery_project\" AND resource.labels.location=monitoring.regex.full_match(\"(?i)${local.location}\") AND metric.type=\"bigquery.googleapis.com/storage/insertall_inserted_rows\""
  # Log entries, not a metric made of them: an alert on a metric that is a minute old is refused. The scripts say this once for
  # each chain that ended by itself, whatever its first failure was.
  crashes = "resource.type=\"gce_instance\" AND \"ending the chain\""

  backlog = coalesce(var.alerts.backlog_messages, var.fleet == null ? 1000000 : var.fleet.max_instances * var.fleet.messages_per_instance)

  alerts = {
    oldest-unacked = {
      title     = "evpipe: the stream is behind"
      severity  = "CRITICAL"
      filter    = local.of.events.age
      above     = var.alerts.oldest_unacked_minutes * 60
      period    = 60
      duration  = 300
      aligner   = "ALIGN_MAX"
      condition = "the oldest unacknowledged message is older than ${var.alerts.oldest_unacked_minutes} minutes"
      text      = <<-END
        Messages wait in ${local.subscriptions.events}; nothing is lost before 31 days have passed.
        1. Is a stream running? `systemctl status 'evpipe-stream*'` on its machine, or the group's instances. Status 77: an account lacks a permission, which the last error names. Status 78: a table or the schemas do not fit. Both are not started again: mend, then start.
        2. Is it retrying? Its log says which service refuses and since when. A quota: ask for more, or see evpipe-scaling(7).
        3. Is it only slow? Start more instances on the same subscription.
        4. A single old message that comes back again and again goes to the dead letters at its 100th delivery.
        END
    }
    backlog = {
      title     = "evpipe: the backlog grows"
      severity  = "WARNING"
      filter    = local.of.events.backlog
      above     = local.backlog
      period    = 60
      duration  = 600
      aligner   = "ALIGN_MAX"
      condition = "more than ${local.backlog} messages are not acknowledged"
      text      = <<-END
        More is published than stored. Up to 100,000 messages of each running chain count as backlog until their objects in the lake are closed; past that, start more instances on ${local.subscriptions.events} (or raise the fleet's max_instances), and look for a service that throttles: the logs warn with its name. See evpipe-scaling(7).
        END
    }
    dead-letters = {
      title     = "evpipe: there are dead letters"
      severity  = "WARNING"
      filter    = local.of.dlq.backlog
      above     = var.alerts.dead_letters
      period    = 60
      duration  = 60
      aligner   = "ALIGN_MAX"
      condition = "more than ${var.alerts.dead_letters} dead letters wait"
      text      = <<-END
        Events were refused. Which rules do they break? This takes nothing away:
        `ps-pull --idle-exit 5 --max-messages 1000 ${local.subscriptions.dlq} | jq -r '.msg.attributes | [.dlq_stage, .dlq_code, .dlq_path] | @tsv' | sort | uniq -c | sort -rn`
        Mend the producer, or the schemas (evpipe-ops(7) has the order), then replay them: `evpipe-replay --project ${var.project}`. Letters without dlq_code are Pub/Sub's own, of messages delivered 100 times: look for what ends the chain.
        END
    }
    dead-letters-old = {
      title     = "evpipe: dead letters are about to be deleted"
      severity  = "CRITICAL"
      filter    = local.of.dlq.age
      above     = var.alerts.dead_letter_days * 86400
      period    = 300
      duration  = 300
      aligner   = "ALIGN_MAX"
      condition = "the oldest dead letter is older than ${var.alerts.dead_letter_days} days"
      text      = <<-END
        Pub/Sub deletes messages of ${local.subscriptions.dlq} when they are 31 days old, for good. Replay them (evpipe-replay(1)), or take them out into a file:
        `mkfifo acks; ps-pull --acks acks --idle-exit 10 ${local.subscriptions.dlq} | tee dead-letters.ndjson | jq -c --unbuffered '{msg: {id: .msg.id}}' > acks`
        END
    }
    no-rows = {
      title     = "evpipe: no rows arrive"
      severity  = "CRITICAL"
      filter    = local.rows
      below     = 1
      period    = var.alerts.no_rows_minutes * 60
      duration  = 60
      aligner   = "ALIGN_SUM"
      reducer   = "REDUCE_SUM"
      condition = "BigQuery got no streamed row for ${var.alerts.no_rows_minutes} minutes"
      text      = <<-END
        1. Is anything published to ${google_pubsub_topic.events.name}? If not, the producers are silent: their matter.
        2. Does the age of the oldest message in ${local.subscriptions.events} grow? Then no stream runs: see the alert `the stream is behind`.
        3. Are there as many dead letters as events? Then everything is refused: see the alert `there are dead letters`.
        4. None of these: `bq-insert --check ${var.project}:${google_bigquery_dataset.events.dataset_id}` says whether the tables take rows.
        END
    }
    crash-loop = {
      title     = "evpipe: an instance crashes"
      severity  = "WARNING"
      log       = local.crashes
      condition = "a chain ended by itself"
      text      = <<-END
        Told at most once an hour; one that comes again every hour is a crash loop. It sees what machines of Compute Engine write to Cloud Logging: the fleet's do; a single machine needs the Ops Agent for its journal, and one elsewhere is not seen at all.
        Nothing is lost: what is not acknowledged comes again, doubled rows are taken out by the views. In the machine's log look for `ended with` or `was killed by` just before `ending the chain`: that stage is the cause. 74 is a broken pipe, mostly a consequence. 137 is the kernel's memory killer: lower --max-outstanding. 70 is a bug: keep the log. One machine alone: delete it, the group makes another.
        END
    }
  }
}

resource "google_monitoring_alert_policy" "alert" {
  for_each              = local.alerts
  display_name          = each.value.title
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = each.value.condition
    dynamic "condition_threshold" {
      for_each = can(each.value.log) ? [] : [each.value]
      content {
        filter          = each.value.filter
        comparison      = can(each.value.above) ? "COMPARISON_GT" : "COMPARISON_LT"
        threshold_value = can(each.value.above) ? each.value.above : each.value.below
        duration        = "${each.value.duration}s"
        # Where too little is the fault, nothing at all is the fault, too.
        evaluation_missing_data = can(each.value.above) ? null : "EVALUATION_MISSING_DATA_ACTIVE"
        aggregations {
          alignment_period     = "${each.value.period}s"
          per_series_aligner   = each.value.aligner
          cross_series_reducer = try(each.value.reducer, null)
        }
      }
    }
    dynamic "condition_matched_log" {
      for_each = can(each.value.log) ? [each.value.log] : []
      content {
        filter = condition_matched_log.value
      }
    }
  }

  documentation {
    subject   = each.value.title
    mime_type = "text/markdown"
    content   = each.value.text
  }

  alert_strategy {
    auto_close = "86400s"
    dynamic "notification_rate_limit" {
      for_each = can(each.value.log) ? ["3600s"] : []
      content {
        period = notification_rate_limit.value
      }
    }
  }

  depends_on = [google_project_service.api]
}

locals {
  charts = [
    { title = "Oldest unacknowledged message (s)", filter = local.of.events.age, aligner = "ALIGN_MAX" },
    { title = "Backlog (messages)", filter = local.of.events.backlog, aligner = "ALIGN_MAX" },
    { title = "Acknowledged: stored, or dead (messages/s)", filter = local.of.events.acked, aligner = "ALIGN_RATE" },
    { title = "Rows streamed into BigQuery (rows/s)", filter = local.rows, aligner = "ALIGN_RATE", reducer = "REDUCE_SUM" },
    {
      title   = "Objects of the lake (requests/s)"
      filter  = "resource.type=\"gcs_bucket\" AND resource.labels.bucket_name=\"${google_storage_bucket.lake.name}\" AND metric.type=\"storage.googleapis.com/api/request_count\""
      aligner = "ALIGN_RATE"
    },
    { title = "Dead letters (messages)", filter = local.of.dlq.backlog, aligner = "ALIGN_MAX" },
    { title = "Oldest dead letter (s)", filter = local.of.dlq.age, aligner = "ALIGN_MAX" },
  ]
}

resource "google_monitoring_dashboard" "evpipe" {
  dashboard_json = jsonencode({
    displayName = "evpipe"
    gridLayout = {
      columns = "2"
      widgets = concat([for chart in local.charts : {
        title = chart.title
        xyChart = {
          dataSets = [{
            plotType = "LINE"
            timeSeriesQuery = {
              timeSeriesFilter = {
                filter = chart.filter
                aggregation = merge({ alignmentPeriod = "60s", perSeriesAligner = chart.aligner },
                try({ crossSeriesReducer = chart.reducer }, {}))
              }
            }
          }]
        }
        }],
        [{ title = "Chains that ended by themselves", logsPanel = { filter = local.crashes, resourceNames = ["projects/${var.project}"] } }]
      )
    }
  })
  depends_on = [google_project_service.api]
}
