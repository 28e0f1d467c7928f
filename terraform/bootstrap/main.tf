# What must exist before the first image can be built and the first environment applied: the APIs, the image repository,
# and the account that builds and deploys. A person with rights over the project applies this once; everything after is
# done by the deployer in Cloud Build.

locals {
  apis = toset([
    "artifactregistry", "cloudbuild", "cloudkms", "cloudquotas", "cloudresourcemanager", "cloudscheduler", "cloudtrace",
    "compute", "containeranalysis", "eventarc", "eventarcpublishing", "iam", "iamcredentials", "logging", "memorystore",
    "monitoring", "networkconnectivity", "pubsub", "redis", "run", "secretmanager", "serviceusage",
    "storage", "billingbudgets",
  ])
}

resource "google_project_service" "api" {
  for_each = local.apis

  project            = var.project_id
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

# Google's own accounts that act for the project are made when a service is first used, which is too late for what is granted
# to them: a first Eventarc trigger fails, a key cannot be lent. Here they are made on purpose.
resource "google_project_service_identity" "agent" {
  provider = google-beta
  for_each = toset(["cloudscheduler", "eventarc", "memorystore", "pubsub", "redis", "run", "secretmanager"])

  project = var.project_id
  service = google_project_service.api[each.key].service
}

# Eventarc's account gets its role when it is made by first use; made on purpose it must be given it.
resource "google_project_iam_member" "eventarc" {
  project = var.project_id
  role    = "roles/eventarc.serviceAgent"
  member  = google_project_service_identity.agent["eventarc"].member
}

resource "google_artifact_registry_repository" "images" {
  location      = var.region
  repository_id = "splatworks"
  description   = "Images of the backend"
  format        = "DOCKER"

  docker_config { immutable_tags = false } # running-ENVIRONMENT moves

  # What runs is never deleted: each deployment moves the tag running-ENVIRONMENT to its images (cloudbuild.yaml).
  cleanup_policies {
    id     = "keep-running"
    action = "KEEP"
    condition {
      tag_state    = "TAGGED"
      tag_prefixes = ["running-"]
    }
  }
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions { keep_count = var.keep_images }
  }
  # Tagged ones only: the parts of an image have no tag of their own.
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "TAGGED"
      older_than = "7776000s" # 90 days
    }
  }

  depends_on = [google_project_service.api]
}

# The layers of earlier builds, apart from the images: whatever is deleted here only makes a build slower.
resource "google_artifact_registry_repository" "cache" {
  location      = var.region
  repository_id = "splatworks-cache"
  description   = "Layers of the backend's builds"
  format        = "DOCKER"

  docker_config { immutable_tags = false }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "1209600s" # 14 days
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
    "roles/cloudscheduler.admin", "roles/compute.instanceAdmin.v1", "roles/compute.networkAdmin", "roles/compute.securityAdmin", "roles/eventarc.admin",
    "roles/cloudquotas.admin", "roles/iam.serviceAccountAdmin", "roles/iam.serviceAccountUser", "roles/logging.configWriter",
    "roles/logging.logWriter", "roles/memorystore.admin", "roles/monitoring.editor", "roles/networkconnectivity.consumerNetworkAdmin",
    "roles/pubsub.admin", "roles/redis.admin", "roles/run.admin", "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageConsumer", "roles/storage.admin",
  ])
  # The grants that an environment makes on the project. The condition below keeps the deployer from making others;
  # it is no wall: who may create accounts and act as any of them can reach what they can reach.
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
    description = "May grant and revoke these roles on the project and no others."
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(${replace(jsonencode(local.grantable), "\"", "'")})"
  }
}

# Admin, not writer: an environment lets its queue's machine pull.
resource "google_artifact_registry_repository_iam_member" "deployer_pushes" {
  for_each = { images = google_artifact_registry_repository.images.name, cache = google_artifact_registry_repository.cache.name }

  location   = var.region
  repository = each.value
  role       = "roles/artifactregistry.admin"
  member     = local.deployer
}

resource "google_storage_bucket_iam_member" "deployer_state" {
  bucket = var.state_bucket
  role   = "roles/storage.objectUser"
  member = local.deployer
}

# The state holds the queue's password. A new bucket lets the project's Viewers read it and its Editors write it; here only the
# owners keep their rights, and the deployer.
resource "google_storage_bucket_iam_binding" "state_no_basic_roles" {
  for_each = { legacyBucketReader = [], legacyObjectReader = [], legacyBucketOwner = ["projectOwner:${var.project_id}"], legacyObjectOwner = ["projectOwner:${var.project_id}"] }

  bucket  = var.state_bucket
  role    = "roles/storage.${each.key}"
  members = each.value
}

# The build starts right after this and uses these grants at once; they are seen everywhere only after a minute or two.
resource "time_sleep" "granted" {
  create_duration = "120s"
  triggers = {
    roles  = join(" ", [for grant in google_project_iam_member.deployer : grant.role])
    agents = join(" ", [for agent in google_project_service_identity.agent : agent.service])
  }

  depends_on = [google_project_iam_member.deployer_grants, google_project_iam_member.eventarc, google_artifact_registry_repository_iam_member.deployer_pushes, google_storage_bucket_iam_member.deployer_state]
}
