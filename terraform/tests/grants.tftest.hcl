# Grants: every service account has these roles and no others. docs/operations.md has the same table in words.

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

run "exactly_these" {
  command = plan

  assert {
    condition = toset([for grant in output.grants : replace(replace("${trimprefix(grant.member, "serviceAccount:splatworks-")} ${grant.role} ${grant.on}", "@test-project.iam.gserviceaccount.com", ""), "test-project-splatworks-", "") if startswith(grant.member, "serviceAccount:splatworks-")]) == toset(concat(
      flatten([for stage in ["filter", "preprocess", "depth", "train", "export"] : [
        "${stage}-receiver roles/secretmanager.secretAccessor secret splatworks-redis-url",
        "${stage}-receiver roles/run.invoker job splatworks-${stage}",
        "${stage}-events roles/run.invoker service splatworks-${stage}-receiver",
        "${stage}-events roles/eventarc.eventReceiver project",
        "${stage}-worker roles/secretmanager.secretAccessor secret splatworks-redis-url",
        "${stage}-worker roles/pubsub.publisher topic splatworks-reconstruction-finished",
        "${stage}-worker roles/storage.objectViewer bucket ${stage}-inbox",
        "${stage}-worker roles/storage.objectViewer bucket artifacts (no webhooks)",
        "${stage}-worker roles/storage.objectUser bucket artifacts (own artifacts)",
      ]]),
      flatten([for stage, next in { filter = "preprocess", preprocess = "depth", depth = "train", train = "export" } : [
        "${stage}-worker roles/storage.objectViewer bucket ${next}-inbox",
        "${stage}-worker roles/storage.objectCreator bucket ${next}-inbox",
      ]]),
      ["preprocess-worker roles/storage.objectViewer bucket filter-inbox"],
      # A filter worker continues with preprocess.
      [for role in ["objectViewer", "objectCreator"] : "filter-worker roles/storage.${role} bucket depth-inbox"],
      [for stage in ["preprocess", "depth", "train", "export"] : "trigger roles/storage.objectViewer bucket ${stage}-inbox"],
      [
        "trigger roles/secretmanager.secretAccessor secret splatworks-redis-url",
        "trigger roles/storage.objectCreator bucket filter-inbox",
        "trigger roles/storage.objectUser bucket filter-inbox",
        "trigger roles/storage.objectViewer bucket artifacts",
        "trigger roles/storage.objectUser bucket artifacts (request records)",
        "trigger roles/iam.serviceAccountTokenCreator itself",
        "trigger roles/pubsub.publisher topic splatworks-reconstruction-requested",
        "trigger roles/pubsub.publisher topic splatworks-reconstruction-finished",
        "notify roles/storage.objectUser bucket artifacts (webhooks)",
        "notify roles/storage.objectViewer bucket artifacts (outcomes)",
        "notify-events roles/run.invoker service splatworks-notify",
        "notify-events roles/eventarc.eventReceiver project",
        "requests roles/secretmanager.secretAccessor secret splatworks-redis-url",
        "requests roles/pubsub.publisher topic splatworks-reconstruction-finished",
        "requests roles/storage.objectUser bucket artifacts",
        "reaper roles/run.invoker service splatworks-requests",
      ],
      flatten([for stage in ["filter", "preprocess", "depth", "train", "export"] : [
        "requests roles/run.invoker job splatworks-${stage}",
        "requests roles/storage.objectUser bucket ${stage}-inbox",
      ]]),
    ))
    error_message = "The backend's accounts hold other grants than these. If the change is meant, change this table and the one in docs/operations.md."
  }
}

run "notify_has_no_queue" {
  command = plan

  assert {
    condition     = !contains(module.notify.environment, "REDIS_URL") && !contains(module.notify.environment, "REDIS_CA_CERT")
    error_message = "The notify function needs no queue, and what talks to the internet must not know its password."
  }
  assert {
    condition     = contains(module.trigger.environment, "REDIS_URL") && contains(module.requests.environment, "REDIS_CA_CERT")
    error_message = "The services of the queue must know where it is."
  }
}

run "own_artifacts_only" {
  command = plan

  assert {
    condition     = strcontains(module.stage["preprocess"].write_condition, "/objects/{request}/preprocess/") && !strcontains(module.stage["preprocess"].write_condition, "/filter/") && !strcontains(module.stage["preprocess"].write_condition, "finished/")
    error_message = "A worker may write only under its own stage."
  }
  assert {
    condition     = alltrue([for stage, other in { filter = "preprocess", train = "export" } : strcontains(module.stage[stage].write_condition, "/objects/{request}/${other}/")]) && strcontains(module.stage["train"].write_condition, "/objects/finished/\")")
    error_message = "A worker that continues with a stage must be able to write what that stage leaves."
  }
  assert {
    condition     = strcontains(module.stage["export"].write_condition, "/objects/finished/\")")
    error_message = "The last stage's manifest lies in the artifacts bucket."
  }
}

run "sources_are_read_where_they_are_needed" {
  command = plan
  variables {
    source_buckets = ["captures"]
  }

  assert {
    condition     = toset([for grant in output.grants : "${trimprefix(split("@", grant.member)[0], "serviceAccount:splatworks-")} ${grant.role}" if grant.on == "bucket captures"]) == toset([for account in ["trigger", "filter-worker", "preprocess-worker"] : "${account} roles/storage.objectViewer"])
    error_message = "The function that pins a source and the stages that read the upload must be able to read its bucket, and nobody else."
  }
  assert {
    condition     = contains(module.trigger.environment, "SOURCE_BUCKETS")
    error_message = "The trigger function must know which buckets are allowed."
  }
}

run "the_mail_server_is_known_to_notify_alone" {
  command = plan
  variables {
    mail       = { from = "Splatworks <splats@example.com>", url_secret = "smtp" }
    public_url = "https://splats.example.com"
  }

  assert {
    condition     = [for grant in output.grants : split("@", grant.member)[0] if grant.on == "secret smtp"] == ["serviceAccount:splatworks-notify"]
    error_message = "The secret with the mail server's password is read by the notify function, and nobody else."
  }
  assert {
    condition     = contains(module.notify.environment, "SMTP_URL") && contains(module.trigger.environment, "MAIL_FROM") && !contains(module.trigger.environment, "SMTP_URL")
    error_message = "The request API takes addresses and does not know the mail server."
  }
}

run "mails_need_a_page_to_unsubscribe_at" {
  command = plan
  variables {
    mail = { from = "splats@example.com", url_secret = "smtp" }
  }
  expect_failures = [var.mail]
}

run "api_keys_are_read_by_the_trigger_alone" {
  command = plan
  variables {
    api_keys = ["app:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]
  }

  assert {
    condition     = toset([for grant in output.grants : split("@", grant.member)[0] if grant.on == "secret splatworks-api-keys"]) == toset(["serviceAccount:splatworks-trigger"])
    error_message = "The trigger function, and nothing else, must be able to read the keys' hashes."
  }
  assert {
    condition     = contains(module.trigger.environment, "API_KEYS") && contains(module.trigger.environment, "CORS_ORIGINS") && contains(module.trigger.environment, "RATE_LIMIT_GLOBAL") && contains(module.trigger.environment, "MAX_PRIORITY")
    error_message = "The trigger function must have its keys, origins and limits."
  }
}

run "keys_that_operators_add_need_no_entry" {
  command = plan
  variables {
    public         = true
    ask_keys       = true
    api_key_limits = { app = { max_priority = 1 } }
  }

  assert {
    condition     = contains(module.trigger.environment, "ASK_KEYS") && !contains(module.trigger.environment, "API_KEYS")
    error_message = "The trigger function must ask for keys without any in its configuration."
  }
}

run "a_key_itself_is_refused" {
  command = plan
  variables {
    api_keys = ["app:splatworks_0123456789abcdef"]
  }
  expect_failures = [var.api_keys]
}
