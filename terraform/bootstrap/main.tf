# What must exist before the first image can be built and the first environment applied: the APIs, the image repository,
# and the account that builds and deploys. A person with rights over the project applies this once; everything after is
# done by the deployer in Cloud Build.

locals {
  apis = toset([
    "artifactregistry", "cloudbuild", "cloudkms", "cloudquotas", "cloudresourcemanager", "cloudscheduler", "cloudtrace",
    "compute", "containeranalysis", "eventarc", "eventarcpublishing", "iam", "iamcredentials", "logging", "memorystore",
    "monitoring", "networkconnectivity", "ondemandscanning", "pubsub", "redis", "run", "secretmanager", "serviceusage",
    "storage", "billingbudgets",
  ])
}

resource "google_project_service" "api" {
  for_each = local.apis

  project            = var.project_id
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

resource "google_artifact_registry_repository" "images" {
  location      = var.region
  repository_id = "splatworks"
  description   = "Images of the backend and of its build tools"
  format        = "DOCKER"

  docker_config { immutable_tags = false } # the layer cache moves its tag

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions { keep_count = var.keep_images }
  }
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "2592000s" # 30 days
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_service_account" "deployer" {
  account_id   = "splatworks-deployer"
  display_name = "splatworks-deployer: builds the images and applies terraform"
  depends_on   = [google_project_service.api]
}

locals {
  deployer = "serviceAccount:${google_service_account.deployer.account_id}@${var.project_id}.iam.gserviceaccount.com"

  # Exactly the kinds of things that an environment holds.
  roles = toset([
    "roles/cloudscheduler.admin", "roles/compute.networkAdmin", "roles/compute.securityAdmin", "roles/eventarc.admin",
    "roles/cloudquotas.admin", "roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountUser", "roles/logging.configWriter",
    "roles/logging.logWriter", "roles/memorystore.admin", "roles/monitoring.editor", "roles/networkconnectivity.consumerNetworkAdmin",
    "roles/ondemandscanning.admin", "roles/pubsub.admin", "roles/redis.admin", "roles/run.admin", "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageConsumer", "roles/storage.admin",
  ])
  # The grants that an environment makes on the project; the deployer can make no others.
  grantable = ["roles/eventarc.eventReceiver", "roles/pubsub.publisher"]
}

resource "google_project_iam_member" "deployer" {
  for_each = local.roles

  project = var.project_id
  role    = each.key
  member  = local.deployer
}

resource "google_project_iam_member" "deployer_grants" {
  project = var.project_id
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = local.deployer
  condition {
    title       = "only the backend's grants"
    description = "May grant and revoke these roles and no others."
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(${replace(jsonencode(local.grantable), "\"", "'")})"
  }
}

resource "google_artifact_registry_repository_iam_member" "deployer_pushes" {
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = local.deployer
}

# The state holds the queue's password: nobody but the deployer and the project's owners reads it.
resource "google_storage_bucket_iam_member" "deployer_state" {
  bucket = var.state_bucket
  role   = "roles/storage.objectUser"
  member = local.deployer
}
