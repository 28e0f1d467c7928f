variable "name" {
  description = "Of the service and of its account."
  type        = string
}

variable "purpose" {
  description = "What it is for, in a few words; shown beside its account."
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
  description = "Ids of what must exist before a revision can start. Accounts and grants do not wait for it."
  type        = list(string)
}

variable "image" {
  description = "Image reference, by digest."
  type        = string
}

variable "command" {
  description = "Program in the image."
  type        = string
}

variable "environment" {
  description = "Variables of the program."
  type        = map(string)
}

variable "ingress" {
  description = "INGRESS_TRAFFIC_INTERNAL_ONLY takes events, pushes and scheduler calls of this project; the trigger function alone is open."
  type        = string
  default     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
}

variable "public" {
  description = "Check no IAM token: the program itself asks for a key."
  type        = bool
  default     = false
}

variable "invokers" {
  description = "IAM members that may call the service, by a name for each."
  type        = map(string)
  default     = {}
}

variable "max_instances" {
  description = "Most instances at once."
  type        = number
  default     = 5
}

variable "timeout_s" {
  description = "Longest request."
  type        = number
  default     = 60
}

variable "concurrency" {
  description = "Calls that an instance serves at once."
  type        = number
  default     = 40
}
