# One Cloud Run service: its own account, its variables and secrets, who may call it. Scales to zero.

resource "google_service_account" "this" {
  project      = var.backend.project_id
  account_id   = var.name
  display_name = "${var.name}: ${var.purpose}"
}

locals {
  # Written out instead of read from the account, so that a plan shows who is granted what.
  email  = "${google_service_account.this.account_id}@${var.backend.project_id}.iam.gserviceaccount.com"
  member = "serviceAccount:${local.email}"
}

resource "google_cloud_run_v2_service" "this" {
  project              = var.backend.project_id
  name                 = var.name
  location             = var.backend.region
  description          = var.purpose
  ingress              = var.ingress
  invoker_iam_disabled = var.public
  deletion_protection  = var.backend.protect
  labels               = var.backend.labels

  template {
    service_account                  = local.email
    timeout                          = "${var.timeout_s}s"
    max_instance_request_concurrency = var.concurrency
    encryption_key                   = var.backend.kms_key_name
    labels                           = merge(var.backend.labels, { deployment = var.backend.deployment })

    scaling {
      min_instance_count = 0
      max_instance_count = var.max_instances
    }

    containers {
      image   = var.image
      command = [var.command]

      dynamic "env" {
        for_each = var.environment
        content {
          name  = env.key
          value = env.value
        }
      }
      dynamic "env" {
        for_each = var.secrets
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value
              version = "latest"
            }
          }
        }
      }

      resources {
        # Billed by request: the processor sleeps between them. The boost halves the wait of a first event, which Pub/Sub
        # gives ten seconds.
        limits            = { cpu = "1", memory = "512Mi" }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      # The way into the network may open a minute or more after the program started. /ready answers 200 once the queue was
      # reached; four minutes is the most that Cloud Run waits.
      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 4
        failure_threshold = 48
        http_get { path = "/ready" }
      }
    }

    dynamic "vpc_access" {
      for_each = var.backend.network == null ? [] : [var.backend.network]
      content {
        egress = "ALL_TRAFFIC"
        network_interfaces {
          network    = vpc_access.value
          subnetwork = var.backend.subnetwork
        }
      }
    }
  }

  depends_on = [terraform_data.after, time_sleep.granted]
}

# What must exist before a revision can start: the secrets' values. Only the service waits for it, its account and grants do
# not.
resource "terraform_data" "after" {
  input = var.after
}

resource "google_secret_manager_secret_iam_member" "reads" {
  for_each = var.secrets

  project   = var.backend.project_id
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = local.member
}

# A grant is seen everywhere only some time after it was made; a revision that may not read its secret is rejected.
resource "time_sleep" "granted" {
  create_duration = "60s"
  triggers        = { for name, grant in google_secret_manager_secret_iam_member.reads : name => grant.secret_id }
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  project  = var.backend.project_id
  location = var.backend.region
  name     = google_cloud_run_v2_service.this.name
  role     = "roles/run.invoker"
  member   = each.value
}
