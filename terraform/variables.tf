# What a deployment is. The other variables are in variables_stages.tf, variables_callers.tf and variables_kept.tf.

variable "project_id" {
  description = "Project that holds the backend."
  type        = string
}

variable "region" {
  description = "Region of everything. For GPUs it must be one where Cloud Run offers them (docs/operations.md, Quotas)."
  type        = string
}

variable "name" {
  description = "First part of every resource's name, so that two backends can live in one project."
  type        = string
  default     = "splatworks"

  validation {
    # Service account ids have at most 30 characters and the longest is NAME-preprocess-receiver.
    condition     = can(regex("^[a-z][a-z0-9-]{1,9}$", var.name))
    error_message = "name must be 2 to 10 lower-case letters, digits and hyphens, starting with a letter."
  }
}

variable "labels" {
  description = "Labels of everything that takes labels."
  type        = map(string)
  default     = {}
}

variable "images" {
  description = "Image reference by kind, pinned by digest: static, media, preprocess, depth, train, train-cuda with train_gpu, and valkey for the queue's own machine. The build writes images.auto.tfvars.json."
  type        = map(string)

  validation {
    condition     = alltrue([for image in values(var.images) : can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Every image must be pinned by digest (NAME@sha256:...): a tag may mean something else tomorrow."
  }
  validation {
    condition     = alltrue([for kind in ["static", "media", "preprocess", "depth", "train"] : contains(keys(var.images), kind)])
    error_message = "images must name all of static, media, preprocess, depth and train."
  }
  validation {
    condition     = var.redis.engine == "vm" ? contains(keys(var.images), "valkey") : true
    error_message = "redis.engine is vm, and images names no valkey: the build copies it into the project's repository (infra/docker/build.sh valkey)."
  }
}

variable "depth_runtime" {
  description = "What depth's image computes with: none, cpu or cuda. The build writes it beside the images."
  type        = string
  default     = "cpu"

  validation {
    condition     = contains(["none", "cpu", "cuda"], var.depth_runtime)
    error_message = "depth_runtime must be none, cpu or cuda."
  }
}

variable "deployment" {
  description = "Label of this deployment's revisions. A new value makes new revisions of all services, which read their secrets again; the build gives its own id."
  type        = string
  default     = "by-hand"

  validation {
    condition     = can(regex("^[a-z0-9_-]{1,63}$", var.deployment))
    error_message = "deployment must be up to 63 lower-case letters, digits, hyphens and underscores."
  }
}

variable "bring_up" {
  description = "The first apply has not succeeded yet: nothing is protected from deletion, so that what failed half-way can be made again. build/apply.sh sets it."
  type        = bool
  default     = false
}
