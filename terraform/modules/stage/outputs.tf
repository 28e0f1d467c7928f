output "trigger" {
  description = "The Eventarc trigger and the bucket it hears."
  value = {
    name    = google_eventarc_trigger.inbox.name
    bucket  = one([for criterion in google_eventarc_trigger.inbox.matching_criteria : criterion.value if criterion.attribute == "bucket"])
    service = google_eventarc_trigger.inbox.destination[0].cloud_run_service[0].service
  }
}

output "subscription" {
  description = "The subscription that Eventarc made; its backlog is the stage's undelivered events."
  value       = google_eventarc_trigger.inbox.transport[0].pubsub[0].subscription
}

output "receiver" {
  description = "The receiver service."
  value       = { name = module.receiver.name, uri = module.receiver.uri, ingress = module.receiver.ingress, environment = module.receiver.environment }
}

output "job" {
  description = "The worker job, as far as its settings matter to the queue and to the bill."
  value = {
    name        = google_cloud_run_v2_job.worker.name
    image       = google_cloud_run_v2_job.worker.template[0].template[0].containers[0].image
    max_retries = google_cloud_run_v2_job.worker.template[0].template[0].max_retries
    timeout     = google_cloud_run_v2_job.worker.template[0].template[0].timeout
    limits      = google_cloud_run_v2_job.worker.template[0].template[0].containers[0].resources[0].limits
    accelerator = try(google_cloud_run_v2_job.worker.template[0].template[0].node_selector[0].accelerator, null)
    environment = sort([for variable in google_cloud_run_v2_job.worker.template[0].template[0].containers[0].env : variable.name])
  }
}

output "grants" {
  description = "Who was granted what here: account, role, resource."
  value = concat(
    module.receiver.grants,
    [{ member = google_cloud_run_v2_job_iam_member.receiver_runs.member, role = google_cloud_run_v2_job_iam_member.receiver_runs.role, on = "job ${google_cloud_run_v2_job_iam_member.receiver_runs.name}" }],
    [{ member = google_project_iam_member.events_received.member, role = google_project_iam_member.events_received.role, on = "project" }],
    [for grant in google_secret_manager_secret_iam_member.worker_reads : { member = grant.member, role = grant.role, on = "secret ${grant.secret_id}" }],
    [{ member = google_pubsub_topic_iam_member.worker_announces.member, role = google_pubsub_topic_iam_member.worker_announces.role, on = "topic ${google_pubsub_topic_iam_member.worker_announces.topic}" }],
    [for grant in google_storage_bucket_iam_member.worker : { member = grant.member, role = grant.role, on = "bucket ${grant.bucket}${length(grant.condition) > 0 ? " (${grant.condition[0].title})" : ""}" }],
  )
}

output "write_condition" {
  description = "What the worker may write in the artifacts bucket (an IAM condition)."
  value       = google_storage_bucket_iam_member.worker["writes_artifacts"].condition[0].expression
}
