locals {
  schemas = jsondecode(file(coalesce(var.schemas, "${path.module}/../schemas.json")))

  # schemas.json's fields are BigQuery's own plus checks that BigQuery does not have; those are cut out of the JSON text, at
  # any depth. The text is safe to cut: within a string a quote is written \", so `"enum":` is only ever a member's name; and
  # jsonencode sorts members, so each is followed by another, `name` at the latest, and ends with a comma.
  check  = "(?:enum|format|max_length|maximum|min_items|min_length|minimum)"
  string = "\"(?:[^\"\\\\]|\\\\.)*\""
  checks = "/\"${local.check}\":(?:\\[${local.string}(?:,${local.string})*\\]|${local.string}|[-+.0-9eE]+),/"

  tables = { for name, table in local.schemas.tables : name => {
    description = lookup(table, "description", null)
    partition   = table.partition
    clustering  = lookup(table, "clustering", null)
    fields      = replace(jsonencode(table.fields), local.checks, "")
  } }
}

resource "google_bigquery_dataset" "events" {
  dataset_id                 = var.dataset
  location                   = local.location
  description                = "Events, a table for each kind. TABLE may hold a row twice after a crash; TABLE_unique does not."
  labels                     = var.labels
  max_time_travel_hours      = "168"
  delete_contents_on_destroy = false
  depends_on                 = [google_project_service.api]
}

resource "google_bigquery_table" "events" {
  for_each            = local.tables
  dataset_id          = google_bigquery_dataset.events.dataset_id
  table_id            = each.key
  description         = each.value.description
  labels              = var.labels
  schema              = each.value.fields
  clustering          = each.value.clustering
  deletion_protection = var.deletion_protection

  time_partitioning {
    type  = each.value.partition.type
    field = each.value.partition.field
  }
}

# A redelivered message's row is equal in every column to the first one, for the same bytes were inserted, and insertId is no
# column that could be compared. A table's own id is no key: an order has a row for each status that it went through. So the
# view keeps one of each set of equal rows. Two events that differ in nothing, the microsecond included, are taken for one.
# (Rows are compared as JSON, for DISTINCT does not take every type that schemas.json may have. The partition's column stands
# beside it, so that a filter on that column may be applied before the rows are numbered.)
resource "google_bigquery_table" "unique" {
  for_each            = google_bigquery_table.events
  dataset_id          = google_bigquery_dataset.events.dataset_id
  table_id            = "${each.key}_unique"
  description         = "The rows of ${each.key}, each once."
  labels              = var.labels
  deletion_protection = false # it holds nothing

  view {
    query          = "SELECT * FROM `${var.project}.${var.dataset}.${each.value.table_id}` AS t WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY t.${local.tables[each.key].partition.field}, TO_JSON_STRING(t)) = 1"
    use_legacy_sql = false
  }
}
