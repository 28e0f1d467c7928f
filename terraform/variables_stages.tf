# What runs: the stages, their machines, what they are given and what it costs.

variable "stages" {
  description = "The pipeline's stages by name. next is the stage whose inbox takes this one's manifest; the stage that nobody names as next takes the uploads. depth_gpu and train_gpu give these two GPUs. A worker that has finished a stage continues with the next one on the same machine."
  type = map(object({
    image          = string           # a kind in images
    cpu            = number           # vCPU: 1, 2, 4, 6 or 8
    memory_gib     = number           # at most 4 per vCPU; files outside a disk count as memory
    timeout_s      = number           # a task of the job ends after it: at most 168 h
    max_executions = number           # the stage's slots: workers at once
    next           = optional(string) # none: the request is complete
    reads_uploads  = optional(bool, false)
    machine        = optional(string) # a name; the stage's own when missing
    disk_gib       = optional(number) # ephemeral disk for the work folder (preview; 10 GiB without a larger quota); none: memory
  }))
  # Sizes for about 300 photos on CPUs. Timeouts are longer than the longest single task that the stage allows.
  default = {
    filter     = { image = "preprocess", cpu = 8, memory_gib = 16, timeout_s = 21600, max_executions = 4, next = "preprocess", machine = "images" }
    preprocess = { image = "preprocess", cpu = 8, memory_gib = 16, timeout_s = 21600, max_executions = 2, next = "depth", reads_uploads = true, machine = "images" }
    depth      = { image = "depth", cpu = 8, memory_gib = 16, timeout_s = 21600, max_executions = 1, next = "train" }
    train      = { image = "train", cpu = 8, memory_gib = 16, timeout_s = 43200, max_executions = 2, next = "export", machine = "splats" }
    export     = { image = "media", cpu = 2, memory_gib = 8, timeout_s = 3600, max_executions = 4, machine = "splats" }
  }

  validation {
    condition     = alltrue([for name in keys(var.stages) : can(regex("^[a-z][a-z0-9]{1,9}$", name))])
    error_message = "A stage's name is 2 to 10 lower-case letters and digits."
  }
  validation {
    condition     = alltrue([for stage in values(var.stages) : stage.next == null ? true : contains(keys(var.stages), stage.next)])
    error_message = "next must be the name of another stage in stages."
  }
  validation {
    condition     = length(setsubtract(keys(var.stages), compact(values(var.stages)[*].next))) == 1
    error_message = "Exactly one stage must be nobody's next: it takes the uploads."
  }
  validation {
    condition     = alltrue([for stage in values(var.stages) : contains([1, 2, 4, 6, 8], stage.cpu) && stage.memory_gib <= 4 * stage.cpu])
    error_message = "Cloud Run takes 1, 2, 4, 6 or 8 vCPU with at most 4 GiB each."
  }
  validation {
    condition     = alltrue([for stage in values(var.stages) : stage.timeout_s >= 60 && stage.timeout_s <= 604800])
    error_message = "A job's task runs for at least a minute here and for 168 hours (604800 s) at most."
  }
  validation {
    condition = alltrue([for name, stage in var.stages : try(var.stages[stage.next].machine, null) == null || try(var.stages[stage.next].machine, null) != stage.machine ? true :
    stage.cpu >= var.stages[stage.next].cpu && stage.memory_gib >= var.stages[stage.next].memory_gib && stage.timeout_s >= var.stages[stage.next].timeout_s])
    error_message = "A worker continues with the next stage of its machine, so the earlier stage needs at least the processors, the memory and the time of the later."
  }
  validation {
    condition     = alltrue([for machine in distinct(compact(values(var.stages)[*].machine)) : length([for stage in values(var.stages) : stage if stage.machine == machine]) <= 2])
    error_message = "A machine is for two stages at most: an image holds the programs of as many."
  }
  validation {
    condition     = alltrue([for stage in values(var.stages) : stage.max_executions >= 1])
    error_message = "max_executions must be at least 1: a stage without workers stops every request."
  }
}

locals {
  # The least machine that Cloud Run gives each type of GPU.
  least_with_gpu = {
    "nvidia-l4"           = { cpu = 4, memory_gib = 16 }
    "nvidia-rtx-pro-6000" = { cpu = 20, memory_gib = 80 }
  }
}

variable "gpu_quota" {
  description = "GPUs the project was granted in the region, without zonal redundancy (quota NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion, which counts milliGPU: 1000 is one)."
  type        = number
  default     = 0
}

variable "depth_model" {
  description = "The depth model that requests get when they name none, as its descriptor in depth's image calls it. Depth's image holds the model when the build was given one; else the stage says that it has none."
  type        = string
  default     = "depth-anything-v2-small"

  validation {
    condition     = can(regex("^[a-z0-9_-][a-z0-9._-]{0,63}$", var.depth_model))
    error_message = "depth_model must be a model's name: up to 64 lower-case letters, digits, dots, dashes and underscores."
  }
}

variable "depth_names" {
  description = "Further depth models that requests may name, when depth's image holds more than depth_model."
  type        = list(string)
  default     = []
}

variable "depth_shares" {
  description = "Percentage of the requests that name no depth model, for each model; together 100. Empty: all get depth_model. A request keeps its model in all attempts and retries. Depth's image must hold them all."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for model, share in var.depth_shares : can(regex("^[a-z0-9_-][a-z0-9._-]{0,63}$", model)) && !contains(["auto", "off"], model) && share > 0])
    error_message = "depth_shares has models by their names, each with a share above 0."
  }
  validation {
    condition     = length(var.depth_shares) == 0 ? true : abs(sum(values(var.depth_shares)) - 100) <= 0.0001
    error_message = "The shares of depth_shares must add up to 100."
  }
}

variable "presets" {
  description = "What preview, standard or high stands for where a request does not say; what is left out is the preset's own."
  type = map(object({
    train_budget_s = optional(number)
    max_images     = optional(number)
    long_edge_px   = optional(number)
    max_gaussians  = optional(number)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.presets) : contains(["preview", "standard", "high"], name)])
    error_message = "The presets are preview, standard and high."
  }
  validation {
    # Training must leave a quarter of the request's day to the other stages.
    condition = alltrue([for effort in values(var.presets) :
      coalesce(effort.train_budget_s, 1) >= 1 && coalesce(effort.train_budget_s, 1) <= 64800 && coalesce(effort.max_images, 3) >= 3 && coalesce(effort.max_images, 3) <= 2000
    && coalesce(effort.long_edge_px, 64) >= 64 && coalesce(effort.long_edge_px, 64) <= 4096 && coalesce(effort.max_gaussians, 1000) >= 1000 && coalesce(effort.max_gaussians, 1000) <= 3000000])
    error_message = "train_budget_s is 1 to 64800, max_images 3 to 2000, long_edge_px 64 to 4096, max_gaussians 1000 to 3000000."
  }
}

variable "depth_gpu" {
  description = "Set it to run the depth stage on GPUs: executions workers at once, each with one. The build then gives depth's image the CUDA runtime. type is nvidia-l4 (at least 4 vCPU and 16 GiB) or nvidia-rtx-pro-6000 (at least 20 and 80). timeout_s over 3600 is a preview feature (12 h)."
  type = object({
    executions = number
    type       = optional(string, "nvidia-l4")
    cpu        = optional(number, 4)
    memory_gib = optional(number, 16)
    timeout_s  = optional(number, 3600)
  })
  default = null

  validation {
    # Slots = executions = quota: a worker that finds no GPU would hold its slot for nothing. Training's are counted below.
    condition     = try(var.depth_gpu.executions, 0) <= var.gpu_quota
    error_message = "depth_gpu wants ${try(var.depth_gpu.executions, 0)} GPUs, and gpu_quota is ${var.gpu_quota}. A new project's quota is often zero: ask for it (request_gpu_quota, or IAM & Admin > Quotas), set gpu_quota to what was granted, or leave depth_gpu out to work on CPUs."
  }
  validation {
    condition     = var.depth_gpu == null ? true : contains(keys(local.least_with_gpu), var.depth_gpu.type)
    error_message = "depth_gpu.type must be nvidia-l4 or nvidia-rtx-pro-6000: Cloud Run has no other."
  }
  validation {
    condition = var.depth_gpu == null ? true : (
      var.depth_gpu.cpu >= try(local.least_with_gpu[var.depth_gpu.type].cpu, 0)
      && var.depth_gpu.memory_gib >= try(local.least_with_gpu[var.depth_gpu.type].memory_gib, 0)
    )
    error_message = "An nvidia-l4 instance takes at least 4 vCPU and 16 GiB, an nvidia-rtx-pro-6000 instance at least 20 vCPU and 80 GiB: set depth_gpu.cpu and depth_gpu.memory_gib."
  }
  validation {
    condition     = var.depth_gpu == null ? true : var.depth_gpu.executions >= 1 && var.depth_gpu.timeout_s >= 60 && var.depth_gpu.timeout_s <= 43200
    error_message = "depth_gpu.executions must be at least 1, and a GPU task runs for 12 h (43200 s) at most."
  }
  validation {
    condition     = var.depth_gpu == null ? true : var.depth_runtime == "cuda"
    error_message = "depth_gpu is set, and depth's image has no CUDA runtime (depth_runtime is ${var.depth_runtime}): the GPU would be paid for and not used. The build makes that image when depth_gpu is in the settings that it reads: deploy with make deploy, without IMAGES."
  }
  validation {
    condition     = var.depth_gpu == null ? true : lookup(var.prices.gpu_s, var.depth_gpu.type, 0) > 0
    error_message = "prices.gpu_s has no price for this GPU: look up what a second of it costs in the region and add it, or every estimate would leave it out."
  }
}

variable "train_gpu" {
  description = "Set it to train on GPUs: executions workers at once, each with one. The build then makes the image train-cuda, which holds the kernels and loads the machine's driver. type and least machine are as in depth_gpu, and so is timeout_s over 3600."
  type = object({
    executions = number
    type       = optional(string, "nvidia-l4")
    cpu        = optional(number, 4)
    memory_gib = optional(number, 16)
    timeout_s  = optional(number, 3600)
  })
  default = null

  validation {
    condition     = var.train_gpu == null ? true : try(var.depth_gpu.executions, 0) + var.train_gpu.executions <= var.gpu_quota
    error_message = "train_gpu and depth_gpu want ${try(var.depth_gpu.executions, 0) + try(var.train_gpu.executions, 0)} GPUs, and gpu_quota is ${var.gpu_quota}. Ask for more (request_gpu_quota, or IAM & Admin > Quotas), set gpu_quota to what was granted, or leave one of them out to work on CPUs."
  }
  validation {
    condition     = var.train_gpu == null ? true : contains(keys(local.least_with_gpu), var.train_gpu.type)
    error_message = "train_gpu.type must be nvidia-l4 or nvidia-rtx-pro-6000: Cloud Run has no other."
  }
  validation {
    condition = var.train_gpu == null ? true : (
      var.train_gpu.cpu >= try(local.least_with_gpu[var.train_gpu.type].cpu, 0)
      && var.train_gpu.memory_gib >= try(local.least_with_gpu[var.train_gpu.type].memory_gib, 0)
    )
    error_message = "An nvidia-l4 instance takes at least 4 vCPU and 16 GiB, an nvidia-rtx-pro-6000 instance at least 20 vCPU and 80 GiB: set train_gpu.cpu and train_gpu.memory_gib."
  }
  validation {
    condition     = var.train_gpu == null ? true : var.train_gpu.executions >= 1 && var.train_gpu.timeout_s >= 3600 && var.train_gpu.timeout_s <= 43200
    error_message = "train_gpu.executions must be at least 1, and timeout_s from 3600, as one training may take 50 minutes, to 43200 (12 h), the most that a GPU task has."
  }
  validation {
    condition     = var.train_gpu == null ? true : contains(keys(var.images), "train-cuda")
    error_message = "train_gpu is set, and images names no train-cuda. The build makes that image when train_gpu is in the settings that it reads: deploy with make deploy, without IMAGES."
  }
  validation {
    condition     = var.train_gpu == null ? true : lookup(var.prices.gpu_s, var.train_gpu.type, 0) > 0
    error_message = "prices.gpu_s has no price for this GPU: look up what a second of it costs in the region and add it, or every estimate would leave it out."
  }
}

variable "request_gpu_quota" {
  description = "Ask Google for this many L4 GPUs in the region. It may be granted in part or not at all: see the quota page, then set gpu_quota."
  type        = object({ gpus = number, contact_email = string })
  default     = null
}

variable "prices" {
  description = "What a second of a job's machine costs in USD, for the estimate in manifests and in the status document. Google's list prices of us-central1; other regions differ by up to a fifth (infra/cost names the sources)."
  type = object({
    vcpu_s = optional(number, 0.000018)
    gib_s  = optional(number, 0.000002)
    gpu_s  = optional(map(number), { "nvidia-l4" = 0.0001867 })
  })
  default = {}

  validation {
    condition     = alltrue([for price in concat([var.prices.vcpu_s, var.prices.gib_s], values(var.prices.gpu_s)) : price >= 0])
    error_message = "A price is not negative; 0 leaves the part out of the estimate."
  }
}

variable "lease" {
  description = "How long a silent worker keeps its task, how often it speaks, and how long a launched one may take to come. The lease must outlive ten seconds of live migration and a reconnect to Redis."
  type = object({
    ttl_s          = optional(number, 90)
    heartbeat_s    = optional(number, 15)
    start_budget_s = optional(number, 300)
  })
  default = {}

  validation {
    condition     = var.lease.ttl_s >= 60 && var.lease.ttl_s >= 3 * var.lease.heartbeat_s
    error_message = "lease.ttl_s must be at least 60 and three times lease.heartbeat_s, or one lost heartbeat loses the task."
  }
}
