# A part of ../variables*.tf; build/settings.sh writes it from the environment's settings.

variable "project_id" {
  description = "Project that holds the backend."
  type        = string
}

variable "name" {
  description = "First part of every resource's name."
  type        = string
}

variable "engine" {
  description = "redis.engine: which of Google's accounts encrypts the queue."
  type        = string
}

variable "alert_emails" {
  description = "Addresses that the budget writes to."
  type        = list(string)
}

variable "audit_logs" {
  description = "Record every read and write of the project's objects."
  type        = bool
}

variable "budget" {
  description = "Monthly budget; none: none."
  type        = object({ billing_account = string, amount = number, currency_code = optional(string, "USD") })
}

variable "kms_key_name" {
  description = "Customer-managed key; none: Google's keys."
  type        = string
}
