# What is kept, and who gets alerts.

variable "redis" {
  description = "The queue's store. engine redis: Memorystore for Redis (BASIC or STANDARD_HA). valkey: Memorystore for Valkey. vm: Valkey with an append-only file on the smallest machine, in the private network. url: any server on the internet; its rediss:// address is the newest version of the secret url_secret, in this project, and workers may then reach the internet."
  type = object({
    engine     = optional(string, "redis")
    tier       = optional(string, "BASIC")            # redis
    memory_gib = optional(number, 1)                  # redis
    node_type  = optional(string, "SHARED_CORE_NANO") # valkey
    replicas   = optional(number, 0)                  # valkey
    machine    = optional(string, "e2-micro")         # vm
    zone       = optional(string, "b")                # vm: the zone's letter
    url_secret = optional(string)                     # url
  })
  default = {}

  validation {
    condition     = contains(["redis", "valkey", "vm", "url"], var.redis.engine) && contains(["BASIC", "STANDARD_HA"], var.redis.tier)
    error_message = "redis.engine must be redis, valkey, vm or url, redis.tier BASIC or STANDARD_HA."
  }
  validation {
    condition     = (var.redis.engine == "url") == (var.redis.url_secret != null)
    error_message = "redis.url_secret belongs to engine url, and engine url needs it: put the rediss:// address into a secret of this project (gcloud secrets create) and name the secret."
  }
}

variable "valkey_token" {
  description = "Token of the default user of the Valkey instance; unused with other engines. build/token.sh makes it once the instance is there."
  type        = string
  default     = ""
  sensitive   = true
}

variable "retention_days" {
  description = "Days after which the lifecycle rules delete: what clients uploaded, the manifests in the inboxes, and the artifacts. Keep manifests as long as artifacts, or the queue cannot be rebuilt."
  type = object({
    uploads   = optional(number, 14)
    manifests = optional(number, 30)
    artifacts = optional(number, 30)
  })
  default = {}

  validation {
    condition     = var.retention_days.manifests >= var.retention_days.artifacts
    error_message = "retention_days.manifests must not be shorter than retention_days.artifacts."
  }
}

variable "protect" {
  description = "Refuse to delete Redis, services, jobs, and buckets that hold objects, from the second apply on. False for a project that is torn down again."
  type        = bool
  default     = true
}

variable "kms_key_name" {
  description = "Customer-managed key (projects/P/locations/REGION/keyRings/R/cryptoKeys/K) for buckets, topics, secrets, Redis and instances; none: Google's keys. It is not made here: it must outlive what it encrypts. Google's agents are allowed to use it by owner/."
  type        = string
  default     = null
}

variable "audit_logs" { # tfcheck:ignore, owner/ uses it
  description = "Record every read and write of the project's objects in the audit log (billed by volume). Made by owner/."
  type        = bool
  default     = false
}

variable "alert_emails" {
  description = "Addresses that alerts and the budget write to."
  type        = list(string)
  default     = []
}

variable "alert_thresholds" {
  description = "When an alert opens."
  type = object({
    oldest_queued_s    = optional(number, 1800)
    redis_memory_ratio = optional(number, 0.8)
    failed_ratio       = optional(number, 0.3)
  })
  default = {}
}

variable "budget" { # tfcheck:ignore, owner/ uses it
  description = "Monthly budget in the billing account's currency; it warns and caps nothing. The caps are max_executions and the quota. Made by owner/: the person who applies it must be allowed to manage budgets of the billing account."
  type        = object({ billing_account = string, amount = number, currency_code = optional(string, "USD") })
  default     = null
}
