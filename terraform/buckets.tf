# One inbox a stage: its trigger hears exactly this bucket, so no stage hears another's objects (direct Cloud Storage
# events cannot be filtered by name). The first stage's inbox takes the clients' uploads. Bulk is in artifacts, which has
# no trigger.

locals {
  first_stage = one(setsubtract(keys(var.stages), compact(values(var.stages)[*].next)))
}

resource "google_storage_bucket" "inbox" {
  for_each = var.stages

  name                        = "${var.project_id}-${var.name}-${each.key}-inbox"
  location                    = var.region # the trigger must be in the bucket's region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !local.protect
  labels                      = local.labels

  # Soft-deleted objects are billed for a week; a video that its owner deleted should be gone.
  soft_delete_policy { retention_duration_seconds = 0 }

  lifecycle_rule {
    action { type = "Delete" }
    condition { age = each.key == local.first_stage ? var.retention_days.uploads : var.retention_days.manifests }
  }
  lifecycle_rule {
    action { type = "AbortIncompleteMultipartUpload" }
    condition { age = 1 }
  }

  dynamic "cors" {
    for_each = each.key == local.first_stage && length(var.cors_origins) > 0 ? [var.cors_origins] : []
    content {
      origin = cors.value
      method = ["POST", "PUT", "GET", "HEAD"]
      response_header = ["Content-Type", "Content-Range", "Range", "Location", "x-goog-resumable", "x-goog-content-length-range",
      "x-goog-if-generation-match", "x-goog-meta-session-id", "x-goog-hash", "x-goog-generation"]
      max_age_seconds = 3600
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]
    content { default_kms_key_name = encryption.value }
  }
}

resource "google_storage_bucket" "artifacts" {
  name                        = "${var.project_id}-${var.name}-artifacts"
  location                    = var.region
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !local.protect
  labels                      = local.labels

  # Checkpoints are overwritten every few minutes: soft delete would keep, and bill, each of them for a week.
  soft_delete_policy { retention_duration_seconds = 0 }

  lifecycle_rule {
    action { type = "Delete" }
    condition {
      age = var.retention_days.artifacts
      # A request's id begins with 0 until the year 2248. The webhooks' keys are no request's and stay.
      matches_prefix = ["0", "requests/", "outcomes/", "finished/", "webhooks/0", "shares/"]
    }
  }
  lifecycle_rule {
    action { type = "Delete" }
    condition {
      age            = 7
      matches_suffix = [".checkpoint"]
    }
  }
  lifecycle_rule {
    action { type = "AbortIncompleteMultipartUpload" }
    condition { age = 1 }
  }

  # Web pages read results from here by signed address.
  dynamic "cors" {
    for_each = length(var.cors_origins) > 0 ? [var.cors_origins] : []
    content {
      origin          = cors.value
      method          = ["GET", "HEAD"]
      response_header = ["Content-Type", "Content-Length", "Content-Range", "Range", "ETag", "x-goog-hash", "x-goog-generation"]
      max_age_seconds = 3600
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]
    content { default_kms_key_name = encryption.value }
  }
}

# Direct events: Cloud Storage itself publishes into the topics that Eventarc makes. Their names are Eventarc's, so the
# grant cannot be narrower than the project.
resource "google_project_iam_member" "storage_publishes" {
  project = var.project_id
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
}

# A new bucket lets the project's Viewers read it and its Editors write it, whatever is granted besides. Clients' videos are
# nobody's but the programs': these roles get no members.
resource "google_storage_bucket_iam_binding" "no_basic_roles" {
  for_each = merge([for key, bucket in merge({ artifacts = google_storage_bucket.artifacts }, google_storage_bucket.inbox) : {
    for role in ["legacyBucketReader", "legacyObjectReader", "legacyBucketOwner", "legacyObjectOwner"] : "${key} ${role}" => { bucket = bucket.name, role = "roles/storage.${role}" }
  }]...)

  bucket  = each.value.bucket
  role    = each.value.role
  members = []
}
