variable "project_id" {
  description = "Project that holds the backend."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
}

variable "images" {
  description = "Image reference by kind, by digest; the build writes images.auto.tfvars.json."
  type        = map(string)
}

variable "gpu_quota" {
  description = "GPUs granted in the region, without zonal redundancy."
  type        = number
  default     = 0
}

variable "train_gpu" {
  description = "Set it to train on GPUs; see ../../variables.tf."
  type = object({
    executions = number
    type       = optional(string, "nvidia-l4")
    cpu        = optional(number, 8)
    memory_gib = optional(number, 32)
    timeout_s  = optional(number, 3600)
  })
  default = null
}

variable "depth_gpu" {
  description = "Set it to run the depth stage on GPUs; see ../../variables.tf."
  type = object({
    executions = number
    type       = optional(string, "nvidia-l4")
    cpu        = optional(number, 4)
    memory_gib = optional(number, 16)
    timeout_s  = optional(number, 3600)
  })
  default = null
}

variable "depth_model" {
  description = "The depth model that requests get when they name none; see ../../variables.tf."
  type        = string
  default     = "depth-anything-v2-small"
}

variable "request_gpu_quota" {
  description = "Ask Google for this many GPUs."
  type        = object({ gpus = number, contact_email = string })
  default     = null
}

variable "trigger_invokers" {
  description = "IAM members that may call the trigger function."
  type        = list(string)
  default     = []
}

variable "public_url" {
  description = "Where clients reach the request API, when not at the trigger service itself."
  type        = string
  default     = ""
}

variable "operators" {
  description = "IAM members that may call the operators' API."
  type        = list(string)
  default     = []
}

variable "cors_origins" {
  description = "Origins of web pages that upload from a browser."
  type        = list(string)
  default     = []
}

variable "api_keys" {
  description = "NAME:SHA256 of the keys that callers must send; none: no key is asked for. See ../../variables.tf."
  type        = list(string)
  default     = []
}

variable "rate_limit" {
  description = "Reconstructions that are taken in a minute."
  type = object({
    per_caller = optional(number, 10)
    global     = optional(number, 60)
  })
  default = {}
}

variable "proxies" {
  description = "Trusted proxies before the trigger function: 2 behind a load balancer. See ../../variables.tf."
  type        = number
  default     = 1
}

variable "request_limits" {
  description = "What any caller may ask for; see ../../variables.tf."
  type = object({
    max_train_budget_s = optional(number, 3600)
    max_images         = optional(number, 1000)
    max_long_edge_px   = optional(number, 1920)
    max_priority       = optional(number, 0)
  })
  default = {}
}

variable "api_key_limits" {
  description = "The same for single API keys, by their names."
  type = map(object({
    max_train_budget_s = optional(number)
    max_images         = optional(number)
    max_long_edge_px   = optional(number)
    max_priority       = optional(number)
  }))
  default = {}
}

variable "max_upload_bytes" {
  description = "Bytes that a capture may have, in one upload or in several."
  type        = number
  default     = 10737418240 # 10 GiB
}

variable "source_buckets" {
  description = "Buckets whose objects clients may name in place of an upload."
  type        = list(string)
  default     = []
}

variable "prices" {
  description = "What a second of a job's machine costs, when not as in us-central1; see ../../variables.tf."
  type = object({
    vcpu_s = optional(number, 0.000018)
    gib_s  = optional(number, 0.000002)
    gpu_s  = optional(map(number), { "nvidia-l4" = 0.0001867 })
  })
  default = {}
}

variable "alert_emails" {
  description = "Addresses that alerts and the budget write to."
  type        = list(string)
  default     = []
}

variable "budget" {
  description = "Monthly budget."
  type        = object({ billing_account = string, amount = number, currency_code = optional(string, "USD") })
  default     = null
}

variable "redis" {
  description = "The queue's store; see ../../variables.tf."
  type = object({
    engine     = optional(string, "redis")
    tier       = optional(string, "STANDARD_HA")
    memory_gib = optional(number, 1)
    node_type  = optional(string, "CUSTOM_MINI")
    replicas   = optional(number, 1)
  })
  default = {}
}

variable "valkey_token" {
  description = "Token of the Valkey instance's default user."
  type        = string
  default     = ""
  sensitive   = true
}

variable "kms_key_name" {
  description = "Customer-managed key for everything at rest; none: Google's keys."
  type        = string
  default     = null
}

variable "retention_days" {
  description = "Days until uploads, manifests and artifacts are deleted."
  type = object({
    uploads   = optional(number, 14)
    manifests = optional(number, 90)
    artifacts = optional(number, 90)
  })
  default = {}
}
