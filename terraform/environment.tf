# The configuration of every program: one set of names, read by app. terraform_test.go fails when a name is set
# here or in the modules that no program reads, or the reverse.

locals {
  environment = {
    PROJECT_ID       = var.project_id
    REGION           = var.region
    REDIS_CA_CERT    = local.redis_ca_cert
    INBOX_BUCKETS    = join(",", [for stage, bucket in google_storage_bucket.inbox : "${stage}:${bucket.name}"])
    ARTIFACTS_BUCKET = google_storage_bucket.artifacts.name
    TOPIC_REQUESTED  = google_pubsub_topic.this["reconstruction-requested"].name
    TOPIC_FINISHED   = google_pubsub_topic.this["reconstruction-finished"].name
    SLOTS            = join(",", [for name, stage in local.stages : "${name}:${stage.max_executions}"])
    MACHINES         = join(",", [for name, stage in local.stages : "${name}:${stage.machine}"])
    JOBS             = join(",", [for name in keys(local.stages) : "${name}:${var.name}-${name}"])
    LEASE_TTL        = "${var.lease.ttl_s}s"
    HEARTBEAT        = "${var.lease.heartbeat_s}s"
    START_BUDGET     = "${var.lease.start_budget_s}s"
    DEPTH_MODEL      = var.depth_model
    TRAIN_CARD       = tostring(var.train_gpu != null)
    MAX_REQUEST_USD  = tostring(var.max_request_usd)
    # What callers may use in a day: trigger refuses what comes after it, workers end what is at work.
    MAX_MINUTES_DAY      = tostring(var.request_limits.max_minutes_day)
    MAX_UPLOAD_BYTES_DAY = format("%d", var.request_limits.max_upload_bytes_day)
    MAX_USD_DAY          = tostring(var.request_limits.max_usd_day)
    ALL_MINUTES_DAY      = tostring(var.limits_of_all.max_minutes_day)
    ALL_UPLOAD_BYTES_DAY = format("%d", var.limits_of_all.max_upload_bytes_day)
    ALL_USD_DAY          = tostring(var.limits_of_all.max_usd_day)
    API_KEY_LIMITS       = jsonencode(local.tenants)

    FAIR_SHARE = tostring(var.ask_keys || length(var.api_keys) > 0)
    ASK_KEYS   = tostring(var.ask_keys || length(var.api_keys) > 0)
  }

  # What this was made from, in the form of splatworks.yaml: the operators' API publishes it for 'splatworks config diff'.
  presets = { for name, effort in var.presets : name => { for field, value in effort : field => value if value != null } }
  tenants = { for name, limits in var.api_key_limits : name => { for limit, value in limits : limit => value if value != null } }
  declared = {
    stages = { for name, stage in var.stages : name => {
      slots = stage.max_executions, machine = stage.machine, cpu = stage.cpu, memory_gib = stage.memory_gib, timeout_s = stage.timeout_s, disk_gib = stage.disk_gib
    } }
    models          = { depth = var.depth_shares }
    presets         = local.presets
    limits          = var.request_limits
    limits_of_all   = var.limits_of_all
    tenants         = local.tenants
    max_request_usd = var.max_request_usd
    prices          = var.prices
    retention_days  = var.retention_days
  }

  # What all services and jobs share. Nothing of it waits for the queue's store, which takes minutes to make: accounts and
  # grants are made meanwhile.
  backend = {
    project_id   = var.project_id
    region       = var.region
    labels       = local.labels
    network      = local.outside ? null : google_compute_network.this.id
    subnetwork   = local.outside ? null : google_compute_subnetwork.run.id
    kms_key_name = var.kms_key_name
    protect      = local.protect
    deployment   = var.deployment
  }
  secrets = { REDIS_URL = local.redis_secret }
  # A revision can start only once its secret has a value and the buckets' events have somewhere to go.
  after = concat([google_project_iam_member.storage_publishes.id], google_secret_manager_secret_version.redis_url[*].id)
}
