# What the backend publishes: a request came in, a request ended. The second one rings the notify function.

resource "google_pubsub_topic" "this" {
  for_each = toset(["reconstruction-requested", "reconstruction-finished"])

  name                       = "${var.name}-${each.key}"
  kms_key_name               = var.kms_key_name
  message_retention_duration = "604800s" # a subscription made later can be set back a week
  labels                     = local.labels
  message_storage_policy { allowed_persistence_regions = [var.region] }
}
