# redis.engine = vm: the queue on the smallest machine, a tenth of what a managed instance costs. Container-Optimized OS runs
# Valkey from the project's own image repository, which it reaches without a way to the internet; the append-only file is on
# the machine's disk, so a restart loses at most a second. Another machine type restarts it; another image is taken at the
# next restart (docs/operations.md, Runbook).

locals {
  vm         = var.redis.engine == "vm"
  vm_address = one(google_compute_address.queue[*].address)
  # e2-micro has 1 GiB; rewriting the file needs as much again as it changes meanwhile.
  vm_memory   = "450mb"
  vm_registry = "${var.region}-docker.pkg.dev"

  vm_member = "serviceAccount:${join("", google_service_account.queue[*].account_id)}@${var.project_id}.iam.gserviceaccount.com"
}

resource "google_service_account" "queue" {
  count = local.vm ? 1 : 0

  account_id   = "${var.name}-queue"
  display_name = "${var.name}-queue: the machine of the queue's store"
}

resource "google_secret_manager_secret_iam_member" "queue_reads" {
  count = local.vm ? 1 : 0

  secret_id = google_secret_manager_secret.queue_password[0].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.vm_member
}

resource "google_artifact_registry_repository_iam_member" "queue_pulls" {
  count = local.vm ? 1 : 0

  location   = var.region
  repository = "splatworks" # bootstrap's
  role       = "roles/artifactregistry.reader"
  member     = local.vm_member
}

resource "google_secret_manager_secret" "queue_password" {
  count = local.vm ? 1 : 0

  secret_id = "${var.name}-queue-password"
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

resource "google_secret_manager_secret_version" "queue_password" {
  count = local.vm ? 1 : 0

  secret      = google_secret_manager_secret.queue_password[0].id
  secret_data = random_password.queue[0].result
}

resource "google_compute_address" "queue" {
  count = local.vm ? 1 : 0

  name         = "${var.name}-queue"
  region       = var.region
  subnetwork   = google_compute_subnetwork.run.id
  address_type = "INTERNAL"
}

resource "google_compute_firewall" "queue_ingress" {
  count = local.vm ? 1 : 0

  name          = "${var.name}-queue-ingress"
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  source_ranges = [local.cidr.run]
  target_tags   = ["${var.name}-queue"]
  allow {
    protocol = "tcp"
    ports    = ["6379"]
  }
}

resource "google_compute_instance" "queue" {
  count = local.vm ? 1 : 0

  name                      = "${var.name}-queue"
  zone                      = "${var.region}-${var.redis.zone}"
  machine_type              = var.redis.machine
  allow_stopping_for_update = true
  deletion_protection       = local.protect
  labels                    = local.labels
  tags                      = ["${var.name}-queue"]

  boot_disk {
    initialize_params {
      image = "projects/cos-cloud/global/images/family/cos-stable"
      size  = 10
      type  = "pd-standard"
    }
    kms_key_self_link = var.kms_key_name
  }

  network_interface {
    subnetwork = google_compute_subnetwork.run.id
    network_ip = local.vm_address
  }

  service_account {
    email  = google_service_account.queue[0].email
    scopes = ["cloud-platform"]
  }

  shielded_instance_config { enable_secure_boot = true }

  metadata = {
    user-data = templatefile("${path.module}/vm.yaml.tftpl", {
      project  = var.project_id
      registry = local.vm_registry
      image    = lookup(var.images, "valkey", "")
      memory   = local.vm_memory
      secret   = google_secret_manager_secret.queue_password[0].secret_id
    })
    enable-oslogin            = "TRUE"
    block-project-ssh-keys    = "TRUE"
    google-logging-enabled    = "false"
    google-monitoring-enabled = "false"
  }

  lifecycle {
    # The disk holds the queue: a newer image of the system is no reason to throw it away.
    ignore_changes = [boot_disk[0].initialize_params]
  }

  depends_on = [google_secret_manager_secret_version.queue_password, google_secret_manager_secret_iam_member.queue_reads, google_artifact_registry_repository_iam_member.queue_pulls]
}
