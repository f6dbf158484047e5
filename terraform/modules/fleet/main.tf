# The stream as a group of identical machines on one subscription. Pub/Sub shares the messages out among them; any may die
# at any moment, and what it had comes again within a minute. The group grows with the subscription's backlog.

variable "project" {
  description = "The project."
  type        = string
}
variable "region" {
  description = "The group's region; its machines are in all of its zones."
  type        = string
}
variable "labels" {
  description = "Labels of the machines."
  type        = map(string)
}
variable "image" {
  description = "The container image."
  type        = string
}
variable "repository" {
  description = "The Artifact Registry repository that it is in."
  type        = string
}
variable "service_account" {
  description = "What the machines run as."
  type        = object({ email = string, member = string })
}
variable "subscription" {
  description = "The subscription whose backlog is shared."
  type        = string
}
variable "environment" {
  description = "Settings of the stream, by name of the variable."
  type        = map(string)
}
variable "settings" {
  description = "See the variable fleet of the root."
  type = object({
    min_instances         = number
    max_instances         = number
    machine_type          = string
    messages_per_instance = number
    spot                  = bool
    subnet                = string
  })
}

terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

# No machine has an address that the internet knows, and nothing may connect to one: the network has no rule that lets it.
resource "google_compute_network" "evpipe" {
  name                    = "evpipe"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "evpipe" {
  name                     = "evpipe"
  network                  = google_compute_network.evpipe.id
  region                   = var.region
  ip_cidr_range            = var.settings.subnet
  private_ip_google_access = true # all that the stream talks to
}

resource "google_artifact_registry_repository_iam_member" "pull_image" {
  location   = var.region
  repository = var.repository
  role       = "roles/artifactregistry.reader"
  member     = var.service_account.member
}

# Logs are written to a project: there is nothing smaller that this could be granted on.
resource "google_project_iam_member" "log" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = var.service_account.member
}

locals {
  # 64, 77 and 78 are not started again: a machine that can do nothing goes off rather than count as a good one, and the group
  # makes another in its place, again and again, until somebody mends the settings or takes the image back. 75 is no failure of a
  # stop, but one of a run.
  unit = <<-END
    [Unit]
    Description=evpipe: Pub/Sub to BigQuery and Cloud Storage
    Wants=network-online.target docker.service
    After=network-online.target docker.service
    StartLimitIntervalSec=0
    FailureAction=poweroff-force

    [Service]
    Environment=HOME=/var/lib/evpipe
    StateDirectory=evpipe
    ExecStartPre=/usr/bin/docker-credential-gcr configure-docker --registries ${split("/", var.image)[0]}
    ExecStartPre=-/usr/bin/docker rm --force evpipe
    ExecStart=/usr/bin/docker run --rm --name evpipe --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --stop-timeout 20 --log-driver gcplogs --env-file /etc/evpipe.env ${var.image} stream --log-format json
    ExecStop=/usr/bin/docker stop evpipe
    TimeoutStopSec=40
    Restart=on-failure
    RestartSec=1
    RestartSteps=6
    RestartMaxDelaySec=60
    RestartPreventExitStatus=64 77 78
    SuccessExitStatus=75
    RestartForceExitStatus=75

    [Install]
    WantedBy=multi-user.target
  END

  cloud_config = {
    write_files = [
      {
        path        = "/etc/evpipe.env"
        permissions = "0644"
        content = join("", [for name, value in merge(var.environment, {
          GOOGLE_CLOUD_PROJECT = var.project
          EVPIPE_SUBSCRIPTION  = var.subscription
        }) : "${name}=${value}\n"])
      },
      { path = "/etc/systemd/system/evpipe.service", permissions = "0644", content = local.unit },
    ]
    runcmd = ["systemctl daemon-reload", "systemctl start evpipe.service"]
  }
}

resource "google_compute_region_instance_template" "stream" {
  name_prefix  = "evpipe-stream-"
  region       = var.region
  machine_type = var.settings.machine_type
  labels       = var.labels

  metadata = {
    user-data              = "#cloud-config\n${yamlencode(local.cloud_config)}"
    block-project-ssh-keys = "true"
    enable-oslogin         = "true"
  }

  disk {
    source_image = "projects/cos-cloud/global/images/family/cos-stable"
    boot         = true
    auto_delete  = true
    disk_size_gb = 20
  }

  network_interface {
    subnetwork = google_compute_subnetwork.evpipe.id
  }

  service_account {
    email  = var.service_account.email
    scopes = ["cloud-platform"] # the account's roles are what limits it
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  scheduling {
    provisioning_model          = var.settings.spot ? "SPOT" : "STANDARD"
    preemptible                 = var.settings.spot
    automatic_restart           = !var.settings.spot
    on_host_maintenance         = var.settings.spot ? "TERMINATE" : "MIGRATE"
    instance_termination_action = var.settings.spot ? "STOP" : null
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_region_instance_group_manager" "stream" {
  name               = "evpipe-stream"
  region             = var.region
  base_instance_name = "evpipe-stream"

  version {
    instance_template = google_compute_region_instance_template.stream.id
  }

  # A new image or setting replaces the machines a few at a time; new ones come before old ones go. To Compute Engine a machine is
  # good when it runs, whatever runs in it: cloudbuild.yaml tries the image on these very resources before.
  update_policy {
    type                  = "PROACTIVE"
    minimal_action        = "REPLACE"
    max_surge_fixed       = 4 # at least one for each zone of a region
    max_unavailable_fixed = 0
  }

  # The autoscaler sets the size.
  depends_on = [google_artifact_registry_repository_iam_member.pull_image, google_project_iam_member.log]
}

resource "google_compute_region_autoscaler" "stream" {
  name   = "evpipe-stream"
  region = var.region
  target = google_compute_region_instance_group_manager.stream.id

  autoscaling_policy {
    min_replicas    = var.settings.min_instances
    max_replicas    = var.settings.max_instances
    cooldown_period = 120

    metric {
      name                       = "pubsub.googleapis.com/subscription/num_undelivered_messages"
      filter                     = "resource.type = pubsub_subscription AND resource.label.subscription_id = \"${var.subscription}\""
      single_instance_assignment = var.settings.messages_per_instance
    }

    # One at a time: what a leaving machine gives back is work for the others.
    scale_in_control {
      time_window_sec = 600
      max_scaled_in_replicas {
        fixed = 1
      }
    }
  }
}

output "autoscaler" {
  description = "The autoscaler."
  value       = google_compute_region_autoscaler.stream
}
output "template" {
  description = "The template of the machines."
  value       = google_compute_region_instance_template.stream
}
