# The queue's store, and what is encrypted, recorded and paid for on request.

variables {
  project_id = "test-project"
  region     = "europe-west4"
  images = {
    static     = "repo/static@sha256:1111111111111111111111111111111111111111111111111111111111111111"
    media      = "repo/media@sha256:2222222222222222222222222222222222222222222222222222222222222222"
    preprocess = "repo/preprocess@sha256:3333333333333333333333333333333333333333333333333333333333333333"
    depth      = "repo/depth@sha256:4444444444444444444444444444444444444444444444444444444444444444"
    train      = "repo/train@sha256:5555555555555555555555555555555555555555555555555555555555555555"
  }
}

run "redis" {
  command = plan

  assert {
    condition     = google_redis_instance.queue[0].redis_configs["maxmemory-policy"] == "noeviction"
    error_message = "Leases have expiry times and would be evicted first."
  }
  assert {
    condition     = google_redis_instance.queue[0].auth_enabled && google_redis_instance.queue[0].transit_encryption_mode == "SERVER_AUTHENTICATION"
    error_message = "Redis must ask for a password and speak TLS."
  }
  assert {
    condition     = length(google_memorystore_instance.queue) == 0 && length(google_network_connectivity_service_connection_policy.valkey) == 0
    error_message = "One engine, one instance."
  }
}

run "valkey" {
  command = plan
  variables {
    redis        = { engine = "valkey" }
    valkey_token = "from gcloud"
  }

  assert {
    condition     = length(google_redis_instance.queue) == 0 && google_memorystore_instance.queue[0].mode == "CLUSTER_DISABLED" && google_memorystore_instance.queue[0].shard_count == 1
    error_message = "Valkey must be one unclustered shard: a script's keys must lie together."
  }
  assert {
    condition     = google_memorystore_instance.queue[0].engine_configs["maxmemory-policy"] == "noeviction" && google_memorystore_instance.queue[0].authorization_mode == "TOKEN_AUTH" && google_memorystore_instance.queue[0].transit_encryption_mode == "SERVER_AUTHENTICATION"
    error_message = "Valkey must evict nothing, ask for a token and speak TLS."
  }
}

run "valkey_without_token_is_pointed_out" {
  command = plan
  variables {
    redis = { engine = "valkey" }
  }
  expect_failures = [check.valkey_token]
}

run "the_tick" {
  command = plan

  assert {
    condition     = google_cloud_scheduler_job.reaper.schedule == "* * * * *" && google_cloud_scheduler_job.reaper.http_target[0].http_method == "POST"
    error_message = "The reaper must be called every minute."
  }
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.this)) == toset(["Reaper silent", "Oldest queued task", "Leases expire", "Executions fail", "Redis memory", "Receivers answer 5xx", "Events undelivered"])
    error_message = "The alerts must be the ones that the runbook explains."
  }
}

run "nothing_optional_by_default" {
  command = plan

  assert {
    condition     = length(google_billing_budget.this) + length(google_project_iam_audit_config.storage) + length(google_kms_crypto_key_iam_member.agent) == 0
    error_message = "Budget, audit logs and customer-managed keys come only when asked for."
  }
  assert {
    condition     = length(google_storage_bucket.artifacts.encryption) == 0
    error_message = "Without a key of their own the buckets use Google's."
  }
}

run "own_key" {
  command = plan
  variables {
    kms_key_name = "projects/keys/locations/europe-west4/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = alltrue([for bucket in concat(values(google_storage_bucket.inbox), [google_storage_bucket.artifacts]) : bucket.encryption[0].default_kms_key_name == var.kms_key_name])
    error_message = "Every bucket must use the key."
  }
  assert {
    condition     = toset(keys(google_kms_crypto_key_iam_member.agent)) == toset(["storage", "pubsub", "secrets", "run", "redis"])
    error_message = "Every service that encrypts for us must be allowed to use the key."
  }
  assert {
    condition     = alltrue([for topic in google_pubsub_topic.this : topic.kms_key_name == var.kms_key_name]) && google_redis_instance.queue[0].customer_managed_key == var.kms_key_name
    error_message = "Topics and Redis must use the key."
  }
}

run "kept_manifests" {
  command = plan
  variables {
    retention_days = { manifests = 5, artifacts = 30 }
  }
  expect_failures = [var.retention_days]
}
