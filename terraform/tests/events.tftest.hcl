# Events and exposure: who hears what, who may call what.

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

run "one_trigger_a_stage" {
  command = plan

  assert {
    condition     = { for name, stage in output.stages : name => stage.trigger.bucket } == output.buckets.inbox
    error_message = "Every stage must have exactly one trigger, on its own inbox."
  }
  assert {
    condition     = alltrue([for name, stage in output.stages : stage.trigger.service == stage.receiver.name])
    error_message = "A trigger must call its own stage's receiver."
  }
  assert {
    condition     = length(distinct([for stage in output.stages : stage.trigger.bucket])) == 5
    error_message = "Five stages must have five inboxes."
  }
  assert {
    condition     = !contains([for stage in output.stages : stage.trigger.bucket], output.buckets.artifacts)
    error_message = "The artifacts bucket must raise no events."
  }
  assert {
    condition     = alltrue([for criterion in google_eventarc_trigger.finished.matching_criteria : criterion.attribute != "bucket"])
    error_message = "The notify trigger hears a topic, no bucket."
  }
}

run "closed_by_default" {
  command = plan

  assert {
    condition     = length([for grant in output.grants : grant if startswith(grant.member, "all")]) == 0
    error_message = "Nothing may be public by default."
  }
  assert {
    condition     = alltrue([for service in output.services : service.public == false])
    error_message = "Every service must check who calls."
  }
  assert {
    condition     = alltrue([for grant in output.grants : startswith(grant.member, "serviceAccount:")])
    error_message = "Without invokers and operators only service accounts may hold grants."
  }
  assert {
    condition = alltrue(concat(
      [for stage in output.stages : stage.receiver.ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"],
      [for name, service in output.services : service.ingress == (name == "splatworks-trigger" ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_ONLY")],
    ))
    error_message = "Only the trigger function may be reached from outside."
  }
  assert {
    condition = alltrue([for bucket in concat(values(google_storage_bucket.inbox), [google_storage_bucket.artifacts]) :
      bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access && bucket.soft_delete_policy[0].retention_duration_seconds == 0
    ])
    error_message = "Buckets must be closed, uniform, and without a bill for deleted objects."
  }
}

run "grants_of_basic_roles_are_taken_away" {
  command = plan

  assert {
    condition     = length(google_storage_bucket_iam_binding.no_basic_roles) == 4 * 6 && alltrue([for binding in google_storage_bucket_iam_binding.no_basic_roles : length(binding.members) == 0])
    error_message = "No bucket may be read or written by whoever has a basic role on the project."
  }
}

run "operators" {
  command = plan
  variables {
    operators = ["group:operators@example.com"]
  }

  assert {
    condition     = [for grant in output.grants : "${grant.role} ${grant.on}" if grant.member == "group:operators@example.com"] == ["roles/run.invoker service splatworks-requests"]
    error_message = "Operators may call the operators' API and nothing else."
  }
}

run "opened_on_purpose" {
  command = plan
  variables {
    public       = true
    api_keys     = ["app:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]
    cors_origins = ["https://app.example.com"]
  }

  assert {
    condition     = { for name, service in output.services : name => service.public if service.public } == { splatworks-trigger = true }
    error_message = "The trigger function is the one thing that may be opened to all."
  }
  assert {
    condition     = length([for grant in output.grants : grant if startswith(grant.member, "all")]) == 0
    error_message = "Grants to all are refused in new organisations; the token check is switched off instead."
  }
  assert {
    condition     = alltrue([for name, bucket in google_storage_bucket.inbox : length(bucket.cors) == (name == "filter" ? 1 : 0)])
    error_message = "Only the bucket that takes uploads needs CORS for them."
  }
  assert {
    condition     = contains(google_storage_bucket.inbox["filter"].cors[0].response_header, "Location") && contains(google_storage_bucket.inbox["filter"].cors[0].method, "PUT")
    error_message = "A browser must be able to begin and go on with a resumable upload."
  }
}

run "opened_without_keys_is_refused" {
  command = plan
  variables {
    public = true
  }
  expect_failures = [var.public]
}

run "a_grant_to_all_is_refused" {
  command = plan
  variables {
    trigger_invokers = ["allUsers"]
  }
  expect_failures = [var.trigger_invokers]
}

run "origins_that_no_browser_could_use_are_refused" {
  command = plan
  variables {
    trigger_invokers = ["group:developers@example.com"]
    cors_origins     = ["https://app.example.com"]
  }
  expect_failures = [var.cors_origins]
}

run "browsers_behind_a_gateway" {
  command = plan
  variables {
    public_url   = "https://api.example.com"
    cors_origins = ["https://app.example.com"]
  }

  assert {
    condition     = length(google_storage_bucket.inbox["filter"].cors) == 1 && alltrue([for service in output.services : service.public == false])
    error_message = "With a gateway the function stays closed."
  }
}

run "any_origin_is_refused" {
  command = plan
  variables {
    public_url   = "https://api.example.com"
    cors_origins = ["*"]
  }
  expect_failures = [var.cors_origins]
}

run "half_a_byte_and_half_a_request_are_refused" {
  command = plan
  variables {
    max_upload_bytes = 2.5
    rate_limit       = { per_caller = 1.5 }
    request_limits   = { max_priority = 4096 }
    proxies          = 0
    api_key_limits   = { nobody = { max_priority = 1 } }
    limits_of_all    = { max_upload_bytes_day = 0.5 }
  }
  expect_failures = [var.max_upload_bytes, var.rate_limit, var.request_limits, var.proxies, var.api_key_limits, var.limits_of_all]
}
