variable "stage" {
  description = "The stage's name in the pipeline."
  type        = string
}

variable "prefix" {
  description = "First part of the names of everything made here."
  type        = string
}

variable "backend" {
  description = "What all of the backend's services and jobs share, none of it known only after something slow was made."
  type = object({
    project_id   = string
    region       = string
    labels       = map(string)
    network      = optional(string) # none: no private network
    subnetwork   = optional(string)
    kms_key_name = optional(string)
    protect      = bool
    deployment   = string
  })
}

variable "secrets" {
  description = "Variable name to the id of the secret that it is read from."
  type        = map(string)
}

variable "after" {
  description = "Ids of what must exist before a revision or an execution can start. Accounts and grants do not wait for it."
  type        = list(string)
}

variable "environment" {
  description = "Variables of every program."
  type        = map(string)
}

variable "receiver_image" {
  description = "Image of the receiver: the stage's program without its tools."
  type        = string
}

variable "worker" {
  description = "How the stage's job runs."
  type = object({
    image          = string
    cpu            = number
    memory_gib     = number
    timeout_s      = number
    max_executions = number
    disk_gib       = optional(number)
    gpu            = optional(string)
    usd_per_s      = number # price of the machine, for estimates
  })
}

variable "inbox" {
  description = "Bucket whose objects start the stage."
  type        = string
}

variable "next_inbox" {
  description = "Bucket that takes the stage's manifests; none: they go to the artifacts bucket and the request is complete."
  type        = string
  default     = null
}

variable "continues" {
  description = "The stage with which the worker continues, and the bucket that takes that one's manifests (none: the request is complete). It may do what that stage's own worker may. None: it does not continue."
  type = object({
    stage      = string
    next_inbox = optional(string)
  })
  default = null
}

variable "uploads" {
  description = "Bucket of what clients uploaded, for a stage that reads it again; none: it does not."
  type        = string
  default     = null
}

variable "sources" {
  description = "Buckets whose objects may take the place of an upload, for a stage that reads uploads."
  type        = list(string)
  default     = []
}

variable "artifacts" {
  description = "Bucket of the bulk."
  type        = string
}

variable "finished_topic" {
  description = "Topic that gets a message for every request that a worker saw end."
  type        = string
}
