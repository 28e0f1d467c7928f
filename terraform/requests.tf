# The operators' API, and the reaper's tick: every minute the scheduler calls POST /reap, which puts right what died
# silently and launches workers that a full quota or a lost call held back.

module "requests" {
  source = "./modules/service"

  name        = "${var.name}-requests"
  purpose     = "operators' API of the queue, and the reaper"
  backend     = local.backend
  environment = merge(local.environment, { DECLARED = jsonencode(local.declared) })
  secrets     = local.secrets
  after       = local.after
  image       = var.images["static"]
  command     = "/app/operators"
  invokers    = merge({ reaper = local.reaper_member }, { for member in var.operators : member => member })
  timeout_s   = 900 # a rebuild reads every manifest
}

resource "google_cloud_run_v2_job_iam_member" "requests_runs" {
  for_each = module.stage

  location = var.region
  name     = each.value.job.name
  role     = "roles/run.invoker"
  member   = module.requests.member
}

# Rebuilding reads all manifests and records; purging deletes what a request left.
resource "google_storage_bucket_iam_member" "requests" {
  for_each = merge({ artifacts = google_storage_bucket.artifacts }, google_storage_bucket.inbox)

  bucket = each.value.name
  role   = "roles/storage.objectUser"
  member = module.requests.member
}

resource "google_pubsub_topic_iam_member" "requests_announces" {
  topic  = google_pubsub_topic.this["reconstruction-finished"].name
  role   = "roles/pubsub.publisher"
  member = module.requests.member
}

resource "google_service_account" "reaper" {
  account_id   = "${var.name}-reaper"
  display_name = "${var.name}-reaper: the scheduler's tick"
}

locals {
  reaper_member = "serviceAccount:${google_service_account.reaper.account_id}@${var.project_id}.iam.gserviceaccount.com"
}

resource "google_cloud_scheduler_job" "reaper" {
  name             = "${var.name}-reaper"
  region           = var.region
  description      = "Puts right what died silently"
  schedule         = "* * * * *"
  attempt_deadline = "60s"

  http_target {
    http_method = "POST"
    uri         = "${module.requests.uri}/reap"
    oidc_token {
      service_account_email = google_service_account.reaper.email
      audience              = module.requests.uri
    }
  }

  retry_config { retry_count = 0 } # the next minute is the retry
}
