locals {
  days_31 = "2678400s" # the longest that Pub/Sub keeps a message
}

resource "google_pubsub_topic" "events" {
  name       = var.topic
  labels     = var.labels
  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic" "dlq" {
  name                       = var.dlq_topic
  labels                     = var.labels
  message_retention_duration = local.days_31 # also what was acknowledged: a replay that went wrong can be repeated by a seek
  depends_on                 = [google_project_service.api]
}

resource "google_pubsub_subscription" "events" {
  name   = "${google_pubsub_topic.events.name}-sub"
  topic  = google_pubsub_topic.events.name
  labels = var.labels

  # ps-pull extends leases itself; after a crash its messages are back within a minute.
  ack_deadline_seconds       = 60
  message_retention_duration = local.days_31

  # Given-back messages are for the next instance, now; what fails again and again waits up to the lease's length.
  retry_policy {
    minimum_backoff = "1s"
    maximum_backoff = "60s"
  }

  # The backstop: bad messages are published to the topic by dlq-push, with their reasons, at their first delivery. This
  # policy counts every redelivery, a crash's too, hence Pub/Sub's most.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dlq.id
    max_delivery_attempts = 100
  }

  expiration_policy {
    ttl = "" # never, however long nobody pulls
  }
}

resource "google_pubsub_subscription" "dlq" {
  name                       = "${google_pubsub_topic.dlq.name}-sub"
  topic                      = google_pubsub_topic.dlq.name
  labels                     = var.labels
  ack_deadline_seconds       = 60
  message_retention_duration = local.days_31

  retry_policy {
    minimum_backoff = "1s"
    maximum_backoff = "60s"
  }

  expiration_policy {
    ttl = ""
  }
}
