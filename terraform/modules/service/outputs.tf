output "name" {
  description = "Of the service."
  value       = google_cloud_run_v2_service.this.name
}

output "uri" {
  description = "Where it answers."
  value       = google_cloud_run_v2_service.this.uri
}

output "email" {
  description = "Its account."
  value       = local.email
}

output "member" {
  description = "Its account as an IAM member."
  value       = local.member
}

output "ingress" {
  description = "From where it may be called."
  value       = google_cloud_run_v2_service.this.ingress
}

output "public" {
  description = "Whether Cloud Run lets everybody through and leaves it to the program whom to serve."
  value       = google_cloud_run_v2_service.this.invoker_iam_disabled
}

output "environment" {
  description = "Names of the variables it runs with."
  value       = sort(concat(keys(var.environment), keys(var.secrets)))
}

output "grants" {
  description = "Who was granted what here: account, role, resource."
  value = concat(
    [for grant in google_secret_manager_secret_iam_member.reads : { member = grant.member, role = grant.role, on = "secret ${grant.secret_id}" }],
    [for grant in google_cloud_run_v2_service_iam_member.invoker : { member = grant.member, role = grant.role, on = "service ${grant.name}" }],
  )
}
