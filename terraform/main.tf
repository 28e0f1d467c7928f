# The Splatworks backend in one project, and the root configuration that is applied. One file a concern; modules/stage is
# everything that one stage of the pipeline needs, modules/service everything that one Cloud Run service needs.
# environments/ holds what makes dev and prod differ, bootstrap/ what must exist before images can be built, owner/ what
# only an owner may grant. docs/operations.md has the picture, the costs and the runbook.

data "google_storage_project_service_account" "this" {
  project = var.project_id
}

locals {
  labels = merge({ app = var.name }, var.labels)

  # Each stage with its GPU, if it was given one.
  gpus = { for stage, gpu in { depth = var.depth_gpu, train = var.train_gpu } : stage => gpu if gpu != null }
  stages = {
    for name, stage in var.stages : name => !contains(keys(local.gpus), name) ? merge(stage, { gpu = tostring(null), machine = coalesce(stage.machine, name) }) : merge(stage, {
      machine                                                                                      = "${name}-gpu" # a card does not wait for what needs none
      gpu                                                                                          = local.gpus[name].type
      image                                                                                        = name == "train" ? "train-cuda" : stage.image # depth's has both kinds under one name
      cpu                                                                                          = local.gpus[name].cpu
      memory_gib                                                                                   = local.gpus[name].memory_gib
      timeout_s                                                                                    = local.gpus[name].timeout_s
      max_executions                                                                               = local.gpus[name].executions
    })
  }

  # The stage with which a worker continues, on its machine.
  continues = {
    for name, stage in local.stages : name =>
    stage.next == null ? null : local.stages[stage.next].machine == stage.machine ? stage.next : null
  }

  # What a second of each stage's machine costs.
  usd_per_s = {
    for name, stage in local.stages : name =>
    stage.cpu * var.prices.vcpu_s + stage.memory_gib * var.prices.gib_s + (stage.gpu == null ? 0 : var.prices.gpu_s[stage.gpu])
  }

  # Nothing is protected until an apply has gone through once.
  protect = var.protect && !var.bring_up
}

# Made by the first apply that went through (build/apply.sh applies again without bring_up then). While it is missing from
# the state, the next apply is still a first one.
resource "terraform_data" "established" {
  count = var.bring_up ? 0 : 1
}
