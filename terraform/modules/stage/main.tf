# Everything that one stage of the pipeline needs: the trigger on its inbox, the receiver that puts the event into the
# queue, the job whose executions do the work, an account for each of the three, and their grants.

locals {
  name          = "${var.prefix}-${var.stage}"
  gpu           = var.worker.gpu != null
  work_dir      = var.worker.disk_gib == null ? "/tmp" : "/work"
  worker_email  = "${google_service_account.worker.account_id}@${var.backend.project_id}.iam.gserviceaccount.com"
  worker_member = "serviceAccount:${local.worker_email}"
  events_email  = "${google_service_account.events.account_id}@${var.backend.project_id}.iam.gserviceaccount.com"
  events_member = "serviceAccount:${local.events_email}"
}

# ---- the receiver

module "receiver" {
  source = "../service"

  name        = "${local.name}-receiver"
  purpose     = "takes the events of the ${var.stage} stage's inbox"
  backend     = var.backend
  environment = var.environment
  secrets     = var.secrets
  after       = var.after
  image       = var.receiver_image
  command     = "/app/${var.stage}"
  invokers    = { events = local.events_member }
}

# The receiver starts executions of its own job and of no other, without overrides.
resource "google_cloud_run_v2_job_iam_member" "receiver_runs" {
  project  = var.backend.project_id
  location = var.backend.region
  name     = google_cloud_run_v2_job.worker.name
  role     = "roles/run.invoker"
  member   = module.receiver.member
}

# ---- the trigger

resource "google_service_account" "events" {
  project      = var.backend.project_id
  account_id   = "${local.name}-events"
  display_name = "${local.name}-events: delivers the ${var.stage} inbox's events"
}

resource "google_project_iam_member" "events_received" {
  project = var.backend.project_id
  role    = "roles/eventarc.eventReceiver"
  member  = local.events_member
}

resource "google_eventarc_trigger" "inbox" {
  project         = var.backend.project_id
  name            = "${local.name}-inbox"
  location        = var.backend.region
  service_account = local.events_email
  labels          = var.backend.labels

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.storage.object.v1.finalized"
  }
  matching_criteria {
    attribute = "bucket"
    value     = var.inbox
  }

  destination {
    cloud_run_service {
      service = module.receiver.name
      region  = var.backend.region
    }
  }

  depends_on = [terraform_data.after, google_project_iam_member.events_received]
}

# ---- the worker

resource "google_service_account" "worker" {
  project      = var.backend.project_id
  account_id   = "${local.name}-worker"
  display_name = "${local.name}-worker: does the work of the ${var.stage} stage"
}

resource "google_cloud_run_v2_job" "worker" {
  project             = var.backend.project_id
  name                = local.name
  location            = var.backend.region
  launch_stage        = var.worker.disk_gib == null ? null : "BETA"
  deletion_protection = var.backend.protect
  labels              = var.backend.labels

  template {
    task_count  = 1
    parallelism = 1
    labels      = merge(var.backend.labels, { deployment = var.backend.deployment })

    template {
      service_account = local.worker_email
      timeout         = "${var.worker.timeout_s}s"
      max_retries     = 0 # the queue decides what is retried, and when
      encryption_key  = var.backend.kms_key_name
      # The cheaper quota, and the one that projects get: a lost zone is a retry.
      gpu_zonal_redundancy_disabled = local.gpu ? true : null

      dynamic "node_selector" {
        for_each = var.worker.gpu == null ? [] : [var.worker.gpu]
        content { accelerator = node_selector.value }
      }

      containers {
        image   = var.worker.image
        command = ["/app/${var.stage}"]

        dynamic "env" {
          for_each = merge(var.environment, {
            TASK_TIMEOUT     = "${var.worker.timeout_s}s"
            THREADS          = tostring(var.worker.cpu)
            WORK_DIR         = local.work_dir
            WORKER_USD_PER_S = tostring(var.worker.usd_per_s)
          })
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
          limits = merge(
            { cpu = tostring(var.worker.cpu), memory = "${var.worker.memory_gib}Gi" },
            local.gpu ? { "nvidia.com/gpu" = "1" } : {},
          )
        }

        dynamic "volume_mounts" {
          for_each = var.worker.disk_gib == null ? [] : [var.worker.disk_gib]
          content {
            name       = "work"
            mount_path = local.work_dir
          }
        }
      }

      dynamic "volumes" {
        for_each = var.worker.disk_gib == null ? [] : [var.worker.disk_gib]
        content {
          name = "work"
          empty_dir {
            medium     = "DISK"
            size_limit = "${volumes.value}Gi"
          }
        }
      }

      dynamic "vpc_access" {
        for_each = var.backend.network == null ? [] : [var.backend.network]
        content {
          # Everything through the network, which leads to Google and Redis only: this is where clients' files are decoded.
          egress = "ALL_TRAFFIC"
          network_interfaces {
            network    = vpc_access.value
            subnetwork = var.backend.subnetwork
          }
        }
      }
    }
  }

  depends_on = [terraform_data.after, google_secret_manager_secret_iam_member.worker_reads]
}

resource "terraform_data" "after" {
  input = var.after
}

resource "google_secret_manager_secret_iam_member" "worker_reads" {
  for_each = var.secrets

  project   = var.backend.project_id
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = local.worker_member
}

resource "google_pubsub_topic_iam_member" "worker_announces" {
  project = var.backend.project_id
  topic   = var.finished_topic
  role    = "roles/pubsub.publisher"
  member  = local.worker_member
}

locals {
  object = "projects/_/buckets/${var.artifacts}/objects/"
  # Artifacts are at REQUEST/STAGE/FENCE/FILE, the record of a failed request at outcomes/, the last manifest at finished/.
  works_on = concat([{ stage = var.stage, next_inbox = var.next_inbox }], var.continues[*])
  own_artifacts = join(" || ", concat(
    [for work in local.works_on : "resource.name.extract(\"/objects/{request}/${work.stage}/\") != \"\""],
    ["resource.name.startsWith(\"${local.object}outcomes/\")"],
    [for work in local.works_on : "resource.name.startsWith(\"${local.object}finished/\")" if work.next_inbox == null],
  ))

  bucket_grants = merge(
    {
      reads_inbox = { bucket = var.inbox, role = "roles/storage.objectViewer", title = null, condition = null }
      # Not the webhooks' keys: a worker opens clients' files.
      reads_artifacts  = { bucket = var.artifacts, role = "roles/storage.objectViewer", title = "no webhooks", condition = "!resource.name.startsWith(\"${local.object}webhooks/\")" }
      writes_artifacts = { bucket = var.artifacts, role = "roles/storage.objectUser", title = "own artifacts", condition = "resource.name.startsWith(\"${local.object}\") && (${local.own_artifacts})" }
    },
    var.uploads == null ? {} : {
      reads_uploads = { bucket = var.uploads, role = "roles/storage.objectViewer", title = null, condition = null }
    },
    { for bucket in var.sources : "reads_source_${bucket}" => { bucket = bucket, role = "roles/storage.objectViewer", title = null, condition = null } },
    # A manifest is created once and looked for before the work starts; nobody may replace it.
    merge([for i, work in local.works_on : work.next_inbox == null ? {} : {
      "reads_${i == 0 ? "next" : "later"}"  = { bucket = work.next_inbox, role = "roles/storage.objectViewer", title = null, condition = null }
      "writes_${i == 0 ? "next" : "later"}" = { bucket = work.next_inbox, role = "roles/storage.objectCreator", title = null, condition = null }
    }]...),
  )
}

resource "google_storage_bucket_iam_member" "worker" {
  for_each = local.bucket_grants

  bucket = each.value.bucket
  role   = each.value.role
  member = local.worker_member

  dynamic "condition" {
    for_each = each.value.condition[*]
    content {
      title      = each.value.title
      expression = condition.value
    }
  }
}
