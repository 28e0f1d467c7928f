# The Splatworks backend in one project. One file a concern; modules/stage is everything that one stage of the pipeline
# needs, modules/service everything that one Cloud Run service needs. environments/ holds the root configurations,
# bootstrap/ what must exist before images can be built. docs/operations.md has the picture, the costs and the runbook.

data "google_project" "this" {
  project_id = var.project_id
}

data "google_storage_project_service_account" "this" {
  project = var.project_id
}

locals {
  labels = merge({ app = var.name }, var.labels)

  # A stage with its GPU, if it was given one.
  gpus = { for stage, gpu in { depth = var.depth_gpu, train = var.train_gpu } : stage => gpu if gpu != null }
  stages = {
    for name, stage in var.stages : name => !contains(keys(local.gpus), name) ? stage : merge(stage, {
      gpu            = local.gpus[name].type
      cpu            = local.gpus[name].cpu
      memory_gib     = local.gpus[name].memory_gib
      timeout_s      = local.gpus[name].timeout_s
      max_executions = local.gpus[name].executions
    })
  }

  # What a second of each stage's machine costs.
  usd_per_s = {
    for name, stage in local.stages : name =>
    stage.cpu * var.prices.vcpu_s + stage.memory_gib * var.prices.gib_s + (stage.gpu == null ? 0 : lookup(var.prices.gpu_s, stage.gpu, 0))
  }
}
