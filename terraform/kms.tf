# Google's own accounts that act for us. Each exists once its API was used in the project.
locals {
  agents = {
    storage     = data.google_storage_project_service_account.this.email_address
    pubsub      = "service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    secrets     = "service-${data.google_project.this.number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
    run         = "service-${data.google_project.this.number}@serverless-robot-prod.iam.gserviceaccount.com"
    redis       = "service-${data.google_project.this.number}@cloud-redis.iam.gserviceaccount.com"
    memorystore = "service-${data.google_project.this.number}@gcp-sa-memorystore.iam.gserviceaccount.com"
  }
  encrypting_agents = toset(concat(["storage", "pubsub", "secrets", "run"], [var.redis.engine == "redis" ? "redis" : "memorystore"]))
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = var.kms_key_name == null ? toset([]) : local.encrypting_agents

  crypto_key_id = var.kms_key_name
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${local.agents[each.key]}"
}
