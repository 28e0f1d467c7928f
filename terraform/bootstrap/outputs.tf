output "repository" {
  description = "Where images go."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}

output "deployer" {
  description = "Account that Cloud Build runs as."
  value       = google_service_account.deployer.email
}
