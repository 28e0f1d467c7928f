output "made" {
  description = "What was asked for."
  value = compact([
    length(google_billing_budget.this) > 0 ? "budget" : "",
    length(google_project_iam_audit_config.storage) > 0 ? "audit log" : "",
    length(google_kms_crypto_key_iam_member.agent) > 0 ? "key" : "",
  ])
}
