# What only an owner may grant, and only when the settings ask for it: a budget, the audit log, and the use of a key of your
# own. deploy.sh applies it as the person who deploys, before the build; the deployer account has no rights for any of it.

data "google_project" "this" {
  project_id = var.project_id
}

# ---- budget: warns, caps nothing. What caps the bill is max_executions of each stage and the GPU quota.

resource "google_monitoring_notification_channel" "budget" {
  for_each = var.budget == null ? toset([]) : toset(var.alert_emails)

  display_name = "${each.key}, ${var.name}'s budget"
  type         = "email"
  labels       = { email_address = each.key }
}

resource "google_billing_budget" "this" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = "${var.name} in ${var.project_id}"

  budget_filter {
    projects               = ["projects/${data.google_project.this.number}"]
    calendar_period        = "MONTH"
    credit_types_treatment = "INCLUDE_ALL_CREDITS"
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency_code
      units         = tostring(var.budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = { 0.5 = "CURRENT_SPEND", 0.9 = "CURRENT_SPEND", 1.0 = "FORECASTED_SPEND" }
    content {
      threshold_percent = tonumber(threshold_rules.key)
      spend_basis       = threshold_rules.value
    }
  }

  all_updates_rule {
    monitoring_notification_channels = [for channel in google_monitoring_notification_channel.budget : channel.id]
    disable_default_iam_recipients   = false
  }
}

# ---- audit log of every read and write of the project's objects

resource "google_project_iam_audit_config" "storage" {
  count = var.audit_logs ? 1 : 0

  project = var.project_id
  service = "storage.googleapis.com"
  audit_log_config { log_type = "DATA_READ" }
  audit_log_config { log_type = "DATA_WRITE" }
}

# ---- the key: Google's own accounts that encrypt for us. bootstrap/ has made them.

data "google_storage_project_service_account" "this" {
  project = var.project_id
}

locals {
  number = data.google_project.this.number
  agents = {
    storage     = data.google_storage_project_service_account.this.email_address
    pubsub      = "service-${local.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    secrets     = "service-${local.number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
    run         = "service-${local.number}@serverless-robot-prod.iam.gserviceaccount.com"
    redis       = "service-${local.number}@cloud-redis.iam.gserviceaccount.com"
    memorystore = "service-${local.number}@gcp-sa-memorystore.iam.gserviceaccount.com"
    compute     = "service-${local.number}@compute-system.iam.gserviceaccount.com"
  }
  encrypting = toset(concat(["storage", "pubsub", "secrets", "run"], lookup({ redis = ["redis"], valkey = ["memorystore"], vm = ["compute"] }, var.engine, [])))
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = var.kms_key_name == null ? toset([]) : local.encrypting

  crypto_key_id = var.kms_key_name
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${local.agents[each.key]}"
}
