output "trigger_url" {
  description = "Where clients begin."
  value       = module.splatworks.trigger_url
}

output "requests_url" {
  description = "The operators' API; reachable from inside the project only."
  value       = module.splatworks.requests_url
}

output "buckets" {
  description = "Inbox of each stage, and the artifacts."
  value       = module.splatworks.buckets
}

output "subscriptions" {
  description = "The subscriptions that Eventarc made, by stage."
  value       = module.splatworks.subscriptions
}
