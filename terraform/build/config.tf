# What splatworks.yaml says, as variables of terraform. build/config.sh puts this file beside copies of variables*.tf, whose
# defaults, and what makes the environment what it is, are what the file leaves open. The programs refuse an unknown field with
# its line ('splatworks config check'); here it is refused, too, so that it is never passed over.

variable "config" {
  description = "Path of splatworks.yaml."
  type        = string
}

locals {
  said    = merge({}, yamldecode(file(var.config)))
  stages  = try(local.said.stages, {})
  renamed = { slots = "max_executions" }

  fields = merge(
    { "" = { given = keys(local.said), known = ["stages", "models", "presets", "limits", "limits_of_all", "tenants", "max_request_usd", "prices", "retention_days"] } },
    { "stages." = { given = keys(local.stages), known = keys(var.stages) } },
    { for name, stage in local.stages : "stages.${name}." => { given = keys(stage), known = ["slots", "machine", "cpu", "memory_gib", "timeout_s", "disk_gib"] } },
    { "models." = { given = keys(try(local.said.models, {})), known = ["depth"] } },
    { "presets." = { given = keys(try(local.said.presets, {})), known = ["preview", "standard", "high"] } },
    { for name, effort in try(local.said.presets, {}) : "presets.${name}." => { given = keys(effort), known = ["train_budget_s", "max_images", "long_edge_px", "max_gaussians"] } },
    { "limits." = { given = keys(try(local.said.limits, {})), known = keys(var.request_limits) } },
    { "limits_of_all." = { given = keys(try(local.said.limits_of_all, {})), known = keys(var.limits_of_all) } },
    { for name, limits in try(local.said.tenants, {}) : "tenants.${name}." => { given = keys(limits), known = keys(var.request_limits) } },
    { "prices." = { given = keys(try(local.said.prices, {})), known = keys(var.prices) } },
    { "retention_days." = { given = keys(try(local.said.retention_days, {})), known = keys(var.retention_days) } },
  )
  unknown = flatten([for path, part in local.fields : [for name in setsubtract(part.given, part.known) : "${path}${name}"]])

  variables = {
    stages = {
      for name, stage in var.stages : name =>
      merge(stage, { for field, value in try(local.stages[name], {}) : lookup(local.renamed, field, field) => value })
    }
    depth_shares    = try(local.said.models.depth, var.depth_shares)
    presets         = try(local.said.presets, var.presets)
    request_limits  = merge(var.request_limits, try(local.said.limits, {}))
    limits_of_all   = merge(var.limits_of_all, try(local.said.limits_of_all, {}))
    api_key_limits  = merge(var.api_key_limits, try(local.said.tenants, {}))
    max_request_usd = try(local.said.max_request_usd, var.max_request_usd)
    prices          = merge(var.prices, try(local.said.prices, {}))
    retention_days  = merge(var.retention_days, try(local.said.retention_days, {}))
  }
}

output "variables" {
  value = jsonencode(local.variables)

  precondition {
    condition     = length(local.unknown) == 0
    error_message = "There is no such field in splatworks.yaml: ${join(", ", local.unknown)}. 'splatworks config check' says where."
  }
}
