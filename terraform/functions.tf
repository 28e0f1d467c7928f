# The two functions. They are built as containers from cmd/functions; FUNCTION_TARGET says which one a service is.

# ---- trigger: the public face

module "trigger" {
  source = "./modules/service"

  name    = "${var.name}-trigger"
  purpose = "takes requests in and reports their status"
  backend = local.backend
  secrets = merge(local.secrets, length(var.api_keys) > 0 ? { API_KEYS = google_secret_manager_secret.api_keys[0].secret_id } : {})
  after   = concat(local.after, google_secret_manager_secret_version.api_keys[*].id)
  image   = var.images["static"]
  command = "/app/functions"
  environment = merge(local.environment, {
    FUNCTION_TARGET   = "trigger"
    PUBLIC_URL        = var.public_url
    SIGNER_ACCOUNT    = "${var.name}-trigger@${var.project_id}.iam.gserviceaccount.com"
    SOURCE_BUCKETS    = join(",", var.source_buckets)
    CORS_ORIGINS      = join(",", var.cors_origins)
    WEB_PAGE          = tostring(var.web_page)
    RATE_LIMIT_CALLER = tostring(var.rate_limit.per_caller)
    RATE_LIMIT_GLOBAL = tostring(var.rate_limit.global)
    RATE_LIMIT_DAY    = tostring(var.rate_limit.day)
    MAX_UPLOAD_BYTES  = tostring(local.upload_bytes)
    PROXIES           = tostring(var.proxies)
    CONCURRENCY       = tostring(local.trigger_concurrency)

    MAX_TRAIN_BUDGET_S = tostring(var.request_limits.max_train_budget_s)
    MAX_IMAGES         = tostring(var.request_limits.max_images)
    MAX_LONG_EDGE_PX   = tostring(var.request_limits.max_long_edge_px)
    MAX_PRIORITY       = tostring(var.request_limits.max_priority)
    MAX_REQUESTS_DAY   = tostring(var.request_limits.max_requests_day)
    DEPTH_NAMES        = join(",", var.depth_names)
    DEPTH_SHARES       = join(",", [for model, share in var.depth_shares : "${model}:${share}"])
    PRESETS            = jsonencode(local.presets)
    MAIL_FROM          = try(var.mail.from, "")
  })
  ingress  = "INGRESS_TRAFFIC_ALL"
  public   = var.public
  invokers = { for member in var.trigger_invokers : member => member }
  # The rate limit holds across instances; this bounds what a flood can cost.
  max_instances = 10
  concurrency   = local.trigger_concurrency
  timeout_s     = 300 # event streams and long polls
}

locals {
  # Calls that an instance of trigger serves at once. A stream costs it 60 KB, and half of the calls may be streams.
  trigger_concurrency = 250

  # What storage and the request API accept of one capture.
  upload_bytes = coalesce(var.max_video_bytes, var.max_upload_bytes)
}

# The hashes of the API keys. They would open nothing if they were read, but who may call is nobody's business.
resource "google_secret_manager_secret" "api_keys" {
  count = length(var.api_keys) > 0 ? 1 : 0

  secret_id = "${var.name}-api-keys"
  labels    = local.labels

  replication {
    user_managed {
      replicas {
        location = var.region
        dynamic "customer_managed_encryption" {
          for_each = var.kms_key_name == null ? [] : [var.kms_key_name]
          content { kms_key_name = customer_managed_encryption.value }
        }
      }
    }
  }
}

resource "google_secret_manager_secret_version" "api_keys" {
  count = length(var.api_keys) > 0 ? 1 : 0

  secret      = google_secret_manager_secret.api_keys[0].id
  secret_data = join(",", var.api_keys)
}

locals {
  trigger_bucket_grants = merge(
    {
      # A signed address can do what its signer may do: begin an upload, read a result.
      "signs uploads"  = { bucket = google_storage_bucket.inbox[local.first_stage].name, role = "roles/storage.objectCreator", condition = null }
      "finds uploads"  = { bucket = google_storage_bucket.inbox[local.first_stage].name, role = "roles/storage.objectUser", condition = null }
      "reads results"  = { bucket = google_storage_bucket.artifacts.name, role = "roles/storage.objectViewer", condition = null }
      "writes records" = { bucket = google_storage_bucket.artifacts.name, role = "roles/storage.objectUser", condition = join(" || ", [for folder in ["requests", "outcomes", "webhooks", "shares", "key-use"] : "resource.name.startsWith(\"${local.artifact_objects}${folder}/\")"]) }
    },
    { for bucket in var.source_buckets : "finds sources in ${bucket}" => { bucket = bucket, role = "roles/storage.objectViewer", condition = null } },
    { for stage, bucket in google_storage_bucket.inbox : "reads the manifests before ${stage}" => { bucket = bucket.name, role = "roles/storage.objectViewer", condition = null } if stage != local.first_stage },
  )
}

resource "google_storage_bucket_iam_member" "trigger" {
  for_each = local.trigger_bucket_grants

  bucket = each.value.bucket
  role   = each.value.role
  member = module.trigger.member

  dynamic "condition" {
    for_each = each.value.condition[*]
    content {
      title       = "request records"
      description = "Only the record of a request, of its being called off, of its webhook, and the last use of an API key."
      expression  = condition.value
    }
  }
}

# Signing without a key: the account asks the IAM Credentials API to sign as itself.
resource "google_service_account_iam_member" "trigger_signs" {
  service_account_id = "projects/${var.project_id}/serviceAccounts/${module.trigger.email}"
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = module.trigger.member
}

resource "google_pubsub_topic_iam_member" "trigger_announces" {
  for_each = google_pubsub_topic.this

  topic  = each.value.name
  role   = "roles/pubsub.publisher"
  member = module.trigger.member
}

# ---- notify: calls clients' servers, and mails

# Webhooks and the mail server are on the internet and the queue is not needed: no private network, nothing to wait for.
module "notify" {
  source = "./modules/service"

  name    = "${var.name}-notify"
  purpose = "calls the webhooks of requests that ended, and mails"
  backend = merge(local.backend, { network = null, subnetwork = null })
  image   = var.images["static"]
  command = "/app/functions"
  environment = merge({ for name, value in local.environment : name => value if name != "REDIS_CA_CERT" }, {
    FUNCTION_TARGET = "notify"
    MAIL_FROM       = try(var.mail.from, "")
    MAIL_URL        = coalesce(var.public_url, module.trigger.uri)
    WEB_PAGE        = tostring(var.web_page)
  })
  secrets  = var.mail == null ? {} : { SMTP_URL = var.mail.url_secret }
  after    = []
  invokers = { events = local.notify_events_member }
}

# The outcome of each delivery is in the artifacts bucket, beside the addresses and the signing keys.
resource "google_storage_bucket_iam_member" "notify" {
  for_each = {
    "webhooks" = {
      role       = "roles/storage.objectUser"
      expression = "resource.name.startsWith(\"${local.artifact_objects}webhooks/\")"
    }
    # The bucket itself may be listed, or an object that is not there would look forbidden instead of missing.
    "outcomes" = {
      role       = "roles/storage.objectViewer"
      expression = "resource.type == \"storage.googleapis.com/Bucket\" || resource.name.startsWith(\"${local.artifact_objects}outcomes/\")"
    }
  }

  bucket = google_storage_bucket.artifacts.name
  role   = each.value.role
  member = module.notify.member
  condition {
    title      = each.key
    expression = each.value.expression
  }
}

locals {
  artifact_objects = "projects/_/buckets/${google_storage_bucket.artifacts.name}/objects/"
}

resource "google_service_account" "notify_events" {
  account_id   = "${var.name}-notify-events"
  display_name = "${var.name}-notify-events: delivers reconstruction-finished"
}

locals {
  notify_events_email  = "${google_service_account.notify_events.account_id}@${var.project_id}.iam.gserviceaccount.com"
  notify_events_member = "serviceAccount:${local.notify_events_email}"
}

resource "google_project_iam_member" "notify_events_received" {
  project = var.project_id
  role    = "roles/eventarc.eventReceiver"
  member  = local.notify_events_member
}

resource "google_eventarc_trigger" "finished" {
  name            = "${var.name}-finished"
  location        = var.region
  service_account = local.notify_events_email
  labels          = local.labels

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.pubsub.topic.v1.messagePublished"
  }

  transport {
    pubsub { topic = google_pubsub_topic.this["reconstruction-finished"].id }
  }

  destination {
    cloud_run_service {
      service = module.notify.name
      region  = var.region
    }
  }

  depends_on = [google_project_iam_member.notify_events_received]
}
