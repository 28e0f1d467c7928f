# Who may come in, and what a caller may ask for.

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
  description = "What any caller may ask for: seconds of training, images, pixels of their long edge, the priority by which requests go before others, and in any 24 hours requests, minutes of workers, bytes of captures, and USD by the estimate (0: no limit). Work ends where its caller's day is used up."
  type = object({
    max_train_budget_s = optional(number, 3600)
    max_images         = optional(number, 1000)
    max_long_edge_px   = optional(number, 1920)
    max_priority       = optional(number, 0)
    max_requests_day   = optional(number, 0)

    max_minutes_day      = optional(number, 0)
    max_upload_bytes_day = optional(number, 0)
    max_usd_day          = optional(number, 0)
  })
  default = {}

  validation {
    condition     = var.request_limits.max_train_budget_s >= 300 && var.request_limits.max_train_budget_s <= 86400 && var.request_limits.max_images >= 3 && var.request_limits.max_images <= 2000 && var.request_limits.max_long_edge_px >= 64 && var.request_limits.max_long_edge_px <= 4096 && var.request_limits.max_priority >= 0 && var.request_limits.max_priority <= 4095 && var.request_limits.max_requests_day >= 0 && var.request_limits.max_requests_day <= 100000 && floor(var.request_limits.max_requests_day) == var.request_limits.max_requests_day
    error_message = "max_train_budget_s is 300 to 86400, max_images 3 to 2000, max_long_edge_px 64 to 4096, max_priority 0 to 4095, max_requests_day 0 to 100000, a whole number."
  }
  validation {
    condition     = min(var.request_limits.max_minutes_day, var.request_limits.max_upload_bytes_day, var.request_limits.max_usd_day) >= 0 && floor(var.request_limits.max_upload_bytes_day) == var.request_limits.max_upload_bytes_day
    error_message = "max_minutes_day, max_upload_bytes_day (a whole number) and max_usd_day are 0 (no limit) or more."
  }
}

variable "limits_of_all" {
  description = "What the requests of all callers together may use in any 24 hours: minutes of workers, bytes of captures, and USD by the estimate; 0 sets no limit."
  type = object({
    max_minutes_day      = optional(number, 0)
    max_upload_bytes_day = optional(number, 0)
    max_usd_day          = optional(number, 0)
  })
  default = {}

  validation {
    condition     = min(var.limits_of_all.max_minutes_day, var.limits_of_all.max_upload_bytes_day, var.limits_of_all.max_usd_day) >= 0 && floor(var.limits_of_all.max_upload_bytes_day) == var.limits_of_all.max_upload_bytes_day
    error_message = "max_minutes_day, max_upload_bytes_day (a whole number) and max_usd_day are 0 (no limit) or more."
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

    max_minutes_day      = optional(number)
    max_upload_bytes_day = optional(number)
    max_usd_day          = optional(number)
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
