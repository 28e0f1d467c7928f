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
    condition     = toset(keys(google_monitoring_alert_policy.this)) == toset(["Reaper silent", "Oldest queued task", "Leases expire", "Executions fail", "Redis memory", "Receivers answer 5xx", "Events undelivered", "Requests fail"])
    error_message = "The alerts must be the ones that the runbook explains."
  }
}

run "failed_requests_ring" {
  command = plan

  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["Requests fail"].conditions[0].condition_threshold[0].filter, "splatworks-ended-failed\"") && strcontains(google_monitoring_alert_policy.this["Requests fail"].conditions[0].condition_threshold[0].denominator_filter, "splatworks-ended\"")
    error_message = "The alert must be on the share of requests that failed."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["Requests fail"].conditions[0].condition_threshold[0].threshold_value == 0.3 && google_monitoring_alert_policy.this["Oldest queued task"].conditions[0].condition_threshold[0].denominator_filter == null
    error_message = "The share is a setting, and the other alerts have no denominator."
  }
  assert {
    condition     = strcontains(google_monitoring_slo.completed.request_based_sli[0].good_total_ratio[0].bad_service_filter, "splatworks-ended-failed\"")
    error_message = "The objective must count what failed."
  }
}

run "metrics_before_alerts" {
  command = plan

  assert {
    condition     = tonumber(trimsuffix(time_sleep.metrics_known.create_duration, "s")) >= 240
    error_message = "Alerts on metrics that were just made are refused: minutes must lie between."
  }
}

run "a_small_machine_of_its_own" {
  command = plan
  variables {
    redis  = { engine = "vm" }
    images = merge(var.images, { valkey = "repo/valkey@sha256:6666666666666666666666666666666666666666666666666666666666666666" })
  }

  assert {
    condition     = google_compute_instance.queue[0].machine_type == "e2-micro" && length(google_redis_instance.queue) + length(google_memorystore_instance.queue) == 0
    error_message = "The engine vm is one machine, the smallest, and nothing else."
  }
  assert {
    condition     = length(google_compute_instance.queue[0].network_interface[0].access_config) == 0 && google_compute_firewall.queue_ingress[0].source_ranges == toset(["10.80.0.0/20"])
    error_message = "The machine must have no address on the internet and hear the backend's network only."
  }
  assert {
    condition     = alltrue([for line in ["maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec", "requirepass $password"] : strcontains(google_compute_instance.queue[0].metadata["user-data"], line)])
    error_message = "The store must evict nothing, write down what it is told, and ask for a password."
  }
  assert {
    condition     = !contains(keys(google_monitoring_alert_policy.this), "Redis memory")
    error_message = "There is no such metric of the machine's memory: an alert on it would be refused."
  }
}

run "the_machine_needs_its_image" {
  command = plan
  variables {
    redis = { engine = "vm" }
  }
  expect_failures = [var.images]
}

run "a_server_elsewhere" {
  command = plan
  variables {
    redis = { engine = "url", url_secret = "upstash" }
  }

  assert {
    condition     = length(google_redis_instance.queue) + length(google_memorystore_instance.queue) + length(google_compute_instance.queue) + length(google_secret_manager_secret.redis_url) == 0
    error_message = "A server elsewhere is not made here, and its address is in a secret that exists."
  }
  assert {
    condition     = length([for grant in output.grants : grant if grant.on == "secret upstash" && grant.role == "roles/secretmanager.secretAccessor"]) == 12
    error_message = "Every program must be able to read the address: five receivers, five workers, the trigger function, the requests service."
  }
  assert {
    condition     = local.backend.network == null
    error_message = "The private network leads nowhere but to Google: a server on the internet is reached without it."
  }
}

run "a_server_elsewhere_needs_its_secret" {
  command = plan
  variables {
    redis = { engine = "url" }
  }
  expect_failures = [var.redis]
}

run "protected_only_after_a_first_success" {
  command = plan
  variables {
    bring_up = true
  }

  assert {
    condition     = !google_redis_instance.queue[0].deletion_protection && !local.backend.protect && google_storage_bucket.artifacts.force_destroy
    error_message = "What a first apply left half-made must be replaceable."
  }
  assert {
    condition     = length(terraform_data.established) == 0
    error_message = "A first apply that failed must not count as one that went through."
  }
}

run "protected_by_default" {
  command = plan

  assert {
    condition     = google_redis_instance.queue[0].deletion_protection && local.backend.protect && !google_storage_bucket.artifacts.force_destroy && length(terraform_data.established) == 1
    error_message = "Later applies protect what holds data."
  }
}

run "nothing_optional_by_default" {
  command = plan

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
