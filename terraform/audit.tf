resource "google_project_iam_audit_config" "storage" {
  count = var.audit_logs ? 1 : 0

  project = var.project_id
  service = "storage.googleapis.com"
  audit_log_config { log_type = "DATA_READ" }
  audit_log_config { log_type = "DATA_WRITE" }
}
