output "trigger_url" {
  description = "Where clients begin."
  value       = module.trigger.uri
}

output "requests_url" {
  description = "The operators' API; reachable from inside the project only."
  value       = module.requests.uri
}

output "buckets" {
  description = "Inbox of each stage, and the artifacts."
  value       = { inbox = { for stage, bucket in google_storage_bucket.inbox : stage => bucket.name }, artifacts = google_storage_bucket.artifacts.name }
}

output "stages" {
  description = "Trigger, receiver and job of each stage."
  value       = { for name, stage in module.stage : name => { trigger = stage.trigger, receiver = stage.receiver, job = stage.job } }
}

output "subscriptions" {
  description = "The subscriptions that Eventarc made, by stage: for dead letters or a longer deadline."
  value       = { for name, stage in module.stage : name => stage.subscription }
}

output "services" {
  description = "Exposure and variables of the services that belong to no stage."
  value = {
    for service in [module.trigger, module.notify, module.requests] :
    service.name => { ingress = service.ingress, public = service.public, environment = service.environment }
  }
}

output "grants" {
  description = "Every grant: account, role, resource. docs/operations.md has the table."
  value = concat(
    flatten([for stage in module.stage : stage.grants]), module.trigger.grants, module.notify.grants, module.requests.grants,
    [for grant in google_storage_bucket_iam_member.trigger : { member = grant.member, role = grant.role, on = "bucket ${grant.bucket}${length(grant.condition) > 0 ? " (${grant.condition[0].title})" : ""}" }],
    [for grant in google_storage_bucket_iam_member.notify : { member = grant.member, role = grant.role, on = "bucket ${grant.bucket} (${grant.condition[0].title})" }],
    [for grant in google_storage_bucket_iam_member.requests : { member = grant.member, role = grant.role, on = "bucket ${grant.bucket}" }],
    [for grant in google_pubsub_topic_iam_member.trigger_announces : { member = grant.member, role = grant.role, on = "topic ${grant.topic}" }],
    [for grant in [google_pubsub_topic_iam_member.requests_announces] : { member = grant.member, role = grant.role, on = "topic ${grant.topic}" }],
    [for grant in google_cloud_run_v2_job_iam_member.requests_runs : { member = grant.member, role = grant.role, on = "job ${grant.name}" }],
    [for grant in [google_service_account_iam_member.trigger_signs] : { member = grant.member, role = grant.role, on = "itself" }],
    [for grant in [google_project_iam_member.notify_events_received, google_project_iam_member.storage_publishes] : { member = grant.member, role = grant.role, on = "project" }],
    [for grant in google_secret_manager_secret_iam_member.queue_reads : { member = grant.member, role = grant.role, on = "secret ${grant.secret_id}" }],
    [for grant in google_artifact_registry_repository_iam_member.queue_pulls : { member = grant.member, role = grant.role, on = "repository" }],
  )
}
