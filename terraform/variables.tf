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

# ---- what runs

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

# ---- who may come in

variable "trigger_invokers" {
  description = "IAM members that may call the trigger function: a group, or a gateway's account. For browsers and the public see public."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.trigger_invokers : !startswith(member, "all")])
    error_message = "allUsers and allAuthenticatedUsers are refused by the default policy of new organisations: set public = true, with ask_keys, instead."
  }
}

variable "public" {
  description = "Let anybody reach the trigger function, browsers included: Cloud Run checks no IAM token, and the function asks for an API key. A browser needs this: the preflight of a cross-origin call carries no token."
  type        = bool
  default     = false

  validation {
    condition     = var.public ? var.ask_keys || length(var.api_keys) > 0 : true
    error_message = "public = true needs ask_keys or api_keys: without keys anybody on the internet could spend your money."
  }
}

variable "public_url" {
  description = "Where clients reach the request API, when that is not the trigger service's own address: a gateway or a domain."
  type        = string
  default     = ""
}

variable "operators" {
  description = "IAM members that may call the operators' API (the requests service)."
  type        = list(string)
  default     = []
}

variable "ask_keys" {
  description = "Callers must send an API key as X-Api-Key, which 'splatworks keys add' makes, lists and revokes while the backend runs."
  type        = bool
  default     = false
}

variable "api_keys" {
  description = "NAME:SHA256 of further keys, as 'splatworks key NAME' prints them; with any, ask_keys is on. A name may appear twice, so that a key can be replaced while both work."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for entry in var.api_keys : can(regex("^[a-z0-9][a-z0-9-]{0,62}:[0-9a-f]{64}$", entry))])
    error_message = "An entry has the form NAME:SHA256: the second line that 'splatworks key NAME' prints, never the key itself."
  }
}

variable "rate_limit" {
  description = "In a minute: calls for a reconstruction of one caller (an API key, or an address), and reconstructions that are taken in of all together. day: the latter in any 24 hours; 0 sets no limit."
  type = object({
    per_caller = optional(number, 10)
    global     = optional(number, 60)
    day        = optional(number, 0)
  })
  default = {}

  validation {
    condition     = alltrue([for n in [var.rate_limit.per_caller, var.rate_limit.global, var.rate_limit.day + 1] : n >= 1 && floor(n) == n]) && var.rate_limit.day <= 100000
    error_message = "A limit must be a whole number of at least 1; day is 0 to 100000."
  }
  validation {
    condition     = var.rate_limit.per_caller <= var.rate_limit.global
    error_message = "One caller cannot have more than all together: raise global, or lower per_caller."
  }
}

variable "proxies" {
  description = "Trusted proxies between clients and the trigger function, each of which appends the address it saw to X-Forwarded-For: 1 is Cloud Run's own front end, 2 with a load balancer before it. Without API keys callers are identified by that address."
  type        = number
  default     = 1

  validation {
    condition     = var.proxies >= 1 && floor(var.proxies) == var.proxies
    error_message = "Cloud Run's front end is always there: at least 1."
  }
}

variable "request_limits" {
  description = "What any caller may ask for: seconds of training, images, pixels of their long edge, the priority by which requests go before others, and requests in any 24 hours (0: no limit)."
  type = object({
    max_train_budget_s = optional(number, 3600)
    max_images         = optional(number, 1000)
    max_long_edge_px   = optional(number, 1920)
    max_priority       = optional(number, 0)
    max_requests_day   = optional(number, 0)
  })
  default = {}

  validation {
    condition     = var.request_limits.max_train_budget_s >= 300 && var.request_limits.max_train_budget_s <= 86400 && var.request_limits.max_images >= 3 && var.request_limits.max_images <= 2000 && var.request_limits.max_long_edge_px >= 64 && var.request_limits.max_long_edge_px <= 4096 && var.request_limits.max_priority >= 0 && var.request_limits.max_priority <= 4095 && var.request_limits.max_requests_day >= 0 && var.request_limits.max_requests_day <= 100000 && floor(var.request_limits.max_requests_day) == var.request_limits.max_requests_day
    error_message = "max_train_budget_s is 300 to 86400, max_images 3 to 2000, max_long_edge_px 64 to 4096, max_priority 0 to 4095, max_requests_day 0 to 100000, a whole number."
  }
}

variable "max_request_usd" {
  description = "What one request may cost in USD, by the estimate of its stages' attempts; 0 sets no limit. One that has cost more FAILs where its next stage or attempt would begin."
  type        = number
  default     = 0

  validation {
    condition     = var.max_request_usd >= 0
    error_message = "max_request_usd is 0 or more."
  }
}

variable "api_key_limits" {
  description = "The same for single API keys, by their names; what an entry leaves out is as in request_limits."
  type = map(object({
    max_train_budget_s = optional(number)
    max_images         = optional(number)
    max_long_edge_px   = optional(number)
    max_priority       = optional(number)
    max_requests_day   = optional(number)
  }))
  default = {}

  validation {
    condition     = var.ask_keys || alltrue([for name in keys(var.api_key_limits) : contains([for entry in var.api_keys : split(":", entry)[0]], name)])
    error_message = "api_key_limits names a key that api_keys does not have. With ask_keys = true it may have any name."
  }
}

variable "max_upload_bytes" {
  description = "Bytes that a capture may have, in one upload or in several. The workers that read uploads (the first stage, and those with reads_uploads) must have room for that in an archive or in photos: four times as much memory, or twice as much disk."
  type        = number
  default     = 2147483648 # 2 GiB

  validation {
    condition     = var.max_upload_bytes >= 1 && floor(var.max_upload_bytes) == var.max_upload_bytes
    error_message = "A capture has a whole number of bytes, at least one."
  }
  validation {
    # The files of a folder, or what an archive unpacks to, are in the work folder, and photos are prepared beside them.
    # Without a disk that folder is memory, of which the programs take the other half. A video takes no room: max_video_bytes.
    condition = alltrue([
      for name, stage in var.stages : var.max_upload_bytes <= (stage.disk_gib == null ? stage.memory_gib / 4 : stage.disk_gib / 2) * 1073741824
      if stage.reads_uploads || !contains(compact(values(var.stages)[*].next), name)
    ])
    error_message = "max_upload_bytes does not fit the workers that read uploads: ${join(", ", [
      for name, stage in var.stages : "${name} takes at most ${floor((stage.disk_gib == null ? stage.memory_gib / 4 : stage.disk_gib / 2) * 1073741824)} (${stage.disk_gib == null ? "a quarter of its ${stage.memory_gib} GiB of memory" : "half of its disk of ${stage.disk_gib} GiB"})"
      if stage.reads_uploads || !contains(compact(values(var.stages)[*].next), name)
    ])}. Lower it, or give those stages memory_gib or disk_gib; for large videos alone, set max_video_bytes."
  }
}

variable "max_video_bytes" {
  description = "Bytes that one video may have: workers read it from storage, and it takes no room in them. Unset: as max_upload_bytes. Storage cannot distinguish a video from an archive, so it accepts this size of both; what is no video and has no room in a worker is refused there before it is fetched (upload_too_large_for_worker)."
  type        = number
  default     = null

  validation {
    condition     = var.max_video_bytes == null ? true : var.max_video_bytes >= var.max_upload_bytes && floor(var.max_video_bytes) == var.max_video_bytes
    error_message = "max_video_bytes is a whole number of bytes, at least max_upload_bytes."
  }
}

variable "source_buckets" {
  description = "Buckets whose objects clients may name in place of an upload (source). Every caller of the trigger function may have anything in them reconstructed. Buckets of other projects must let these accounts be granted there."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for bucket in var.source_buckets : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", bucket))])
    error_message = "Name buckets, without gs:// and without folders."
  }
}

variable "web_page" {
  description = "Whether the trigger function serves the page for people, too (docs/web.md). Its own address must stand in cors_origins, so that the buckets take uploads from the page."
  type        = bool
  default     = false
}

variable "mail" {
  description = "Set it to let requests name an address that is mailed at their end. from is the sender (Splatworks <splats@example.com>); the newest version of the secret url_secret, in this project, is the mail server: smtp://USER:PASSWORD@HOST:PORT, or smtps://."
  type        = object({ from = string, url_secret = string })
  default     = null

  validation {
    condition     = var.mail == null ? true : can(regex("^[^\\r\\n]*[^\\s<>@]+@[^\\s<>@]+\\.[^\\s<>@]+>?$", var.mail.from)) && can(regex("^[A-Za-z0-9_-]{1,255}$", var.mail.url_secret))
    error_message = "mail.from is an address, with a name or without, and mail.url_secret the id of a secret: never the server's address itself, which holds the password."
  }
  validation {
    condition     = var.mail == null || var.public || var.public_url != ""
    error_message = "mail is set, and readers of a mail cannot unsubscribe: IAM refuses their browsers. Set public = true (with ask_keys), or public_url to a gateway that lets /unsubscribe through."
  }
}

variable "cors_origins" {
  description = "Origins of web pages that call the request API and upload from a browser, for example https://app.example.com."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.cors_origins, "*")
    error_message = "Name the origins: with * any page could use a leaked upload address."
  }
  validation {
    condition     = length(var.cors_origins) == 0 || var.public || var.public_url != ""
    error_message = "cors_origins is set, and browsers cannot reach the trigger function: the preflight carries no token, so IAM refuses it. Set public = true (with ask_keys), or public_url to a gateway that lets preflights through."
  }
}

# ---- what is kept

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

# ---- who gets alerts

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
