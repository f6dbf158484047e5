variable "project" {
  description = "The id of the project that everything is made in. It must exist and have billing."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project's id has 6 to 30 lower-case letters, digits and hyphens and begins with a letter."
  }
}

variable "region" {
  description = "Where machines, jobs and images are."
  type        = string
  default     = "us-central1"
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region looks like europe-west1."
  }
}

variable "location" {
  description = "Where the dataset and the buckets are: a region, or EU or US. Load jobs want both in one place. Null: the region. It cannot be changed later."
  type        = string
  default     = null
  validation {
    condition     = var.location == null || can(regex("^([a-z]+-[a-z]+[0-9]+|EU|US)$", var.location))
    error_message = "A location is a region such as europe-west1, EU or US."
  }
}

variable "labels" {
  description = "Labels of everything that takes labels."
  type        = map(string)
  default     = { app = "evpipe" }
  validation {
    condition     = length(var.labels) <= 64 && alltrue([for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))])
    error_message = "Labels are 64 at most; names and values have up to 63 lower-case letters, digits, hyphens and underscores, and a name begins with a letter."
  }
}

# ---- names: the tools' defaults. Whoever changes one takes the tools' options from the output `environment`. ------------

variable "topic" {
  description = "The topic that events are published to; its subscription has the same name with -sub."
  type        = string
  default     = "backend-events-topic"
  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,250}$", var.topic)) && !startswith(var.topic, "goog")
    error_message = "A topic's id begins with a letter, not with goog, and has 3 to 251 letters, digits and -._~+%."
  }
}

variable "dlq_topic" {
  description = "The topic of dead letters; its subscription has the same name with -sub."
  type        = string
  default     = "backend-events-dlq-topic"
  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9._~+%-]{2,250}$", var.dlq_topic)) && !startswith(var.dlq_topic, "goog") && var.dlq_topic != var.topic
    error_message = "A topic's id begins with a letter, not with goog, and has 3 to 251 letters, digits and -._~+%; it differs from var.topic."
  }
}

variable "dataset" {
  description = "The BigQuery dataset."
  type        = string
  default     = "ecommerce_events"
  validation {
    condition     = can(regex("^[A-Za-z0-9_]{1,240}$", var.dataset))
    error_message = "A dataset's id has up to 240 letters, digits and underscores."
  }
}

variable "bucket" {
  description = "The data lake's bucket. Null: PROJECT-events-output."
  type        = string
  default     = null
  validation {
    condition     = var.bucket == null || can(regex("^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits, dots, hyphens and underscores."
  }
}

variable "schemas" {
  description = "The schemas.json that tables are made of. Null: the one beside this folder."
  type        = string
  default     = null
  validation {
    condition     = var.schemas == null || can(length(jsondecode(file(var.schemas)).tables))
    error_message = "schemas names a file as in schemas(5): JSON with a member tables."
  }
}

# ---- keeping ---------------------------------------------------------------------------------------------------------

variable "deletion_protection" {
  description = "Whether tables are protected from terraform itself. Set to false, and apply, before a destroy."
  type        = bool
  default     = true
}

variable "lake_soft_delete_days" {
  description = "How long a deleted object of the lake can be restored: 7 to 90 days, or 0 for not at all."
  type        = number
  default     = 30
  validation {
    condition     = var.lake_soft_delete_days == 0 || (var.lake_soft_delete_days >= 7 && var.lake_soft_delete_days <= 90)
    error_message = "Cloud Storage takes 0, or 7 to 90 days."
  }
}

variable "lake_age_days" {
  description = "When objects of the lake move to cheaper classes of storage: days until each, in this order."
  type = object({
    nearline = optional(number, 30)
    coldline = optional(number, 90)
    archive  = optional(number, 365)
  })
  default = {}
  validation {
    condition     = 0 < var.lake_age_days.nearline && var.lake_age_days.nearline < var.lake_age_days.coldline && var.lake_age_days.coldline < var.lake_age_days.archive
    error_message = "The days grow: nearline, coldline, archive."
  }
}

# ---- who may act as the accounts ---------------------------------------------------------------------------------------

variable "impersonators" {
  description = "Members (user:..., group:..., serviceAccount:...) who may mint tokens for the pipeline's service accounts, so that nobody needs a key."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for m in var.impersonators : can(regex("^(user|group|serviceAccount|principal|principalSet):.+", m))])
    error_message = "A member looks like user:ann@example.com; allUsers and whole domains are not taken."
  }
}

variable "build" {
  description = "Whether to make the account of cloudbuild.yaml, which may push images and write logs."
  type        = bool
  default     = false
}

# ---- alerts ----------------------------------------------------------------------------------------------------------

variable "alert_emails" {
  description = "Addresses that alerts are sent to."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for a in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+$", a))])
    error_message = "An address has one @ and no blanks."
  }
}

variable "alert_slack" {
  description = "The Slack channel that alerts are sent to (#NAME), and the token of Google Cloud Monitoring's Slack app."
  type        = object({ channel = string, auth_token = string })
  default     = null
  sensitive   = true
  validation {
    condition     = var.alert_slack == null || can(regex("^#.+", var.alert_slack.channel))
    error_message = "A Slack channel begins with #."
  }
}

variable "alert_pagerduty_key" {
  description = "The integration key of the PagerDuty service that alerts are sent to."
  type        = string
  default     = null
  sensitive   = true
  validation {
    condition     = var.alert_pagerduty_key == null || can(regex("^[0-9A-Za-z]{32}$", var.alert_pagerduty_key))
    error_message = "An integration key of PagerDuty has 32 letters and digits."
  }
}

variable "alerts" {
  description = "Past what there is an alert; see the alerts' own texts."
  type = object({
    oldest_unacked_minutes = optional(number, 10) # the stream is behind by so much
    backlog_messages       = optional(number)     # so many messages wait; null: more than the whole fleet is for, else 1,000,000
    dead_letters           = optional(number, 0)  # more dead letters than this wait
    dead_letter_days       = optional(number, 24) # the oldest dead letter; at 31 days Pub/Sub deletes it
    no_rows_minutes        = optional(number, 60) # BigQuery got no row
  })
  default = {}
  validation {
    condition     = alltrue([for k, v in var.alerts : coalesce(v, 0) >= 0]) && var.alerts.dead_letter_days < 31 && var.alerts.no_rows_minutes >= 5 && var.alerts.no_rows_minutes <= 1380
    error_message = "Thresholds are not negative; dead letters live 31 days; no_rows_minutes is 5 to 1380 (23 hours)."
  }
}

# ---- scaling out: off unless given ---------------------------------------------------------------------------------------

variable "image" {
  description = "The container image of the instances and of the backfill, with a tag or digest. Wanted with `fleet` and `backfill`."
  type        = string
  default     = null
  validation {
    condition     = var.image == null ? var.fleet == null && var.backfill == null : can(regex("^[^ ]+[:@][^ /]+$", var.image))
    error_message = "fleet and backfill want an image, named with its tag or digest."
  }
}

variable "fleet" {
  description = "The stream as a regional group of identical instances that grows with the backlog. Null: none."
  type = object({
    min_instances         = optional(number, 1)
    max_instances         = optional(number, 10)
    machine_type          = optional(string, "e2-standard-2")
    messages_per_instance = optional(number, 300000) # of the backlog, which counts those inside a chain: well over its window
    spot                  = optional(bool, false)
    subnet                = optional(string, "10.20.0.0/24")
  })
  default = null
  validation {
    condition     = var.fleet == null || try(var.fleet.min_instances >= 1 && var.fleet.max_instances >= var.fleet.min_instances, false)
    error_message = "1 <= min_instances <= max_instances."
  }
  validation {
    condition     = var.fleet == null || try(var.fleet.messages_per_instance > 100000, false)
    error_message = "messages_per_instance must be more than one chain's window (100,000): these are in the backlog until they are acknowledged."
  }
  validation {
    condition     = var.fleet == null || can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)+$", var.fleet.machine_type))
    error_message = "A machine type looks like e2-standard-2."
  }
  validation {
    # 4 addresses of a network are Google's, 4 machines more than max_instances there are while a new image comes.
    condition     = var.fleet == null || try(can(cidrnetmask(var.fleet.subnet)) && pow(2, 32 - tonumber(split("/", var.fleet.subnet)[1])) >= var.fleet.max_instances + 8, false)
    error_message = "subnet is an IPv4 network such as 10.20.0.0/24, with 8 addresses more than max_instances."
  }
}

variable "backfill" {
  description = "History as a Cloud Run job whose tasks read a share each. Null: none, and nobody may run load jobs."
  type = object({
    from            = list(string) # gs://BUCKET/GLOB
    tasks           = optional(number, 4)
    parallelism     = optional(number, 0) # at once; 0: all
    cpu             = optional(string, "2")
    memory          = optional(string, "4Gi") # /tmp is memory there
    timeout_seconds = optional(number, 86400)
  })
  default = null
  validation {
    condition     = var.backfill == null || try(length(var.backfill.from) > 0 && alltrue([for u in var.backfill.from : can(regex("^gs://[a-z0-9][a-z0-9._-]+/.+", u))]), false)
    error_message = "from is a list of gs://BUCKET/GLOB."
  }
  validation {
    condition     = var.backfill == null || try(var.backfill.tasks >= 1 && var.backfill.tasks <= 1400, false)
    error_message = "tasks are 1 to 1,400: BigQuery takes 1,500 load jobs into a table a day, and each task wants one."
  }
  validation {
    condition     = var.backfill == null || try(var.backfill.parallelism >= 0 && var.backfill.parallelism <= var.backfill.tasks && floor(var.backfill.parallelism) == var.backfill.parallelism, false)
    error_message = "parallelism is 0, for all at once, up to tasks."
  }
  validation {
    condition     = var.backfill == null || try(contains(["1", "2", "4", "6", "8"], var.backfill.cpu) && can(regex("^[1-9][0-9]*(Mi|Gi)$", var.backfill.memory)), false)
    error_message = "cpu is 1, 2, 4, 6 or 8, and memory like 512Mi or 4Gi."
  }
  validation {
    condition     = var.backfill == null || try(var.backfill.timeout_seconds >= 1 && var.backfill.timeout_seconds <= 604800, false)
    error_message = "timeout_seconds is 1 to 604,800, a week."
  }
}
