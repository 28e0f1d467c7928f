# Stages: what each gets by standing in the map, and what its job may cost.

variables {
  project_id = "test-project"
  region     = "europe-west4"
  images = {
    static     = "repo/static@sha256:1111111111111111111111111111111111111111111111111111111111111111"
    media      = "repo/media@sha256:2222222222222222222222222222222222222222222222222222222222222222"
    preprocess = "repo/preprocess@sha256:3333333333333333333333333333333333333333333333333333333333333333"
    depth      = "repo/depth@sha256:4444444444444444444444444444444444444444444444444444444444444444"
    train      = "repo/train@sha256:5555555555555555555555555555555555555555555555555555555555555555"
  }
}

run "jobs_never_retry" {
  command = plan

  assert {
    condition     = alltrue([for stage in output.stages : stage.job.max_retries == 0])
    error_message = "Cloud Run must retry nothing: the queue decides."
  }
  assert {
    condition     = alltrue([for name, stage in output.stages : stage.job.timeout == "${var.stages[name].timeout_s}s"])
    error_message = "A job must run as long as its stage's map entry says."
  }
}

run "workers_continue_on_their_machine" {
  command = plan

  assert {
    condition     = local.environment.MACHINES == "depth:depth,export:splats,filter:images,preprocess:images,train:splats"
    error_message = "The programs must know which stages share a machine."
  }
  assert {
    condition     = output.stages["filter"].job.image == output.stages["preprocess"].job.image && output.stages["train"].job.image == var.images["train"]
    error_message = "A worker's image must hold the tools of the stage with which it continues."
  }
}

run "a_machine_too_small_for_its_later_stage_is_refused" {
  command = plan
  variables {
    stages = {
      filter     = { image = "preprocess", cpu = 4, memory_gib = 8, timeout_s = 21600, max_executions = 4, next = "preprocess", machine = "images" }
      preprocess = { image = "preprocess", cpu = 8, memory_gib = 16, timeout_s = 21600, max_executions = 2, machine = "images" }
    }
  }
  expect_failures = [var.stages]
}

run "no_gpu_by_default" {
  command = plan

  assert {
    condition     = alltrue([for stage in output.stages : stage.job.accelerator == null && !contains(keys(stage.job.limits), "nvidia.com/gpu")])
    error_message = "A first apply must work in a project without GPU quota."
  }
  assert {
    condition     = length(google_cloud_quotas_quota_preference.gpu) == 0
    error_message = "No quota is asked for unless somebody says so."
  }
}

run "depth_on_a_gpu_by_one_variable" {
  command = plan
  variables {
    gpu_quota     = 2
    depth_gpu     = { executions = 2 }
    depth_runtime = "cuda"
  }

  assert {
    condition     = [for name, stage in output.stages : name if stage.job.accelerator == "nvidia-l4"] == ["depth"]
    error_message = "Exactly depth must have got L4 GPUs."
  }
  assert {
    condition     = output.stages["depth"].job.limits == tomap({ cpu = "4", memory = "16Gi", "nvidia.com/gpu" = "1" })
    error_message = "A GPU worker gets one GPU and the processors and memory that go with it."
  }
  assert {
    condition     = local.environment.SLOTS == "depth:2,export:4,filter:4,preprocess:2,train:2"
    error_message = "The queue's slots must be the GPUs that the stage has."
  }
  assert {
    condition     = format("%.7f", local.usd_per_s["depth"]) == "0.0002907" && contains(output.stages["depth"].job.environment, "WORKER_USD_PER_S")
    error_message = "A worker must know what a second of its machine costs, the GPU included."
  }
  assert {
    condition     = output.stages["depth"].job.timeout == "3600s"
    error_message = "A GPU task ends after an hour unless the preview limit is asked for."
  }
}

run "more_gpus_than_quota_are_refused" {
  command = plan
  variables {
    depth_gpu     = { executions = 1 }
    depth_runtime = "cuda"
  }
  expect_failures = [var.depth_gpu]
}

run "a_gpu_whose_image_cannot_use_it_is_refused" {
  command = plan
  variables {
    gpu_quota = 1
    depth_gpu = { executions = 1 }
  }
  expect_failures = [var.depth_gpu]
}

run "a_machine_too_small_for_its_gpu_is_refused" {
  command = plan
  variables {
    gpu_quota     = 1
    depth_gpu     = { executions = 1, cpu = 4, memory_gib = 8 }
    depth_runtime = "cuda"
  }
  expect_failures = [var.depth_gpu]
}

run "each_type_of_gpu_has_its_own_least_machine" {
  command = plan
  variables {
    gpu_quota     = 1
    depth_gpu     = { executions = 1, type = "nvidia-rtx-pro-6000", cpu = 8, memory_gib = 32 }
    depth_runtime = "cuda"
    prices        = { gpu_s = { "nvidia-rtx-pro-6000" = 0.001 } }
  }
  expect_failures = [var.depth_gpu]
}

run "a_gpu_without_a_price_is_refused" {
  command = plan
  variables {
    gpu_quota     = 1
    depth_gpu     = { executions = 1, type = "nvidia-rtx-pro-6000", cpu = 20, memory_gib = 80 }
    depth_runtime = "cuda"
  }
  expect_failures = [var.depth_gpu]
}

run "a_larger_gpu_with_its_machine_and_price" {
  command = plan
  variables {
    gpu_quota     = 1
    depth_gpu     = { executions = 1, type = "nvidia-rtx-pro-6000", cpu = 20, memory_gib = 80 }
    depth_runtime = "cuda"
    prices        = { gpu_s = { "nvidia-rtx-pro-6000" = 0.001 } }
  }

  assert {
    condition     = output.stages["depth"].job.accelerator == "nvidia-rtx-pro-6000" && format("%.5f", local.usd_per_s["depth"]) == "0.00152"
    error_message = "The stage must get the GPU that was named, at the price that was given."
  }
}

run "an_unknown_gpu_is_refused" {
  command = plan
  variables {
    gpu_quota     = 1
    depth_gpu     = { executions = 1, type = "nvidia-t4" }
    depth_runtime = "cuda"
  }
  expect_failures = [var.depth_gpu]
}

run "training_on_a_gpu_by_one_variable" {
  command = plan
  variables {
    gpu_quota     = 3
    depth_gpu     = { executions = 1 }
    depth_runtime = "cuda"
    train_gpu     = { executions = 2 }
    images        = merge(var.images, { "train-cuda" = "repo/train-cuda@sha256:6666666666666666666666666666666666666666666666666666666666666666" })
  }

  assert {
    condition     = [for name, stage in output.stages : name if stage.job.accelerator == "nvidia-l4"] == ["depth", "train"]
    error_message = "Exactly depth and train must have got L4 GPUs."
  }
  assert {
    condition     = output.stages["train"].job.image == var.images["train-cuda"] && output.stages["depth"].job.image == var.images["depth"] && strcontains(local.environment.MACHINES, "train:train-gpu")
    error_message = "Training on a GPU needs the image that can."
  }
  assert {
    condition     = output.stages["train"].job.limits == tomap({ cpu = "4", memory = "16Gi", "nvidia.com/gpu" = "1" }) && output.stages["train"].job.timeout == "3600s"
    error_message = "A GPU worker gets one GPU, what goes with it, and an hour."
  }
  assert {
    condition     = local.environment.SLOTS == "depth:1,export:4,filter:4,preprocess:2,train:2"
    error_message = "The queue's slots must be the GPUs that the stage has."
  }
  assert {
    condition     = format("%.7f", local.usd_per_s["train"]) == "0.0002907"
    error_message = "A worker must know what a second of its machine costs, the GPU included."
  }
}

run "training_without_a_gpu_keeps_its_image" {
  command = plan

  assert {
    condition     = output.stages["train"].job.image == var.images["train"]
    error_message = "On CPUs training runs in the static image."
  }
}

run "training_and_depth_share_the_quota" {
  command = plan
  variables {
    gpu_quota     = 2
    depth_gpu     = { executions = 1 }
    depth_runtime = "cuda"
    train_gpu     = { executions = 2 }
    images        = merge(var.images, { "train-cuda" = "repo/train-cuda@sha256:6666666666666666666666666666666666666666666666666666666666666666" })
  }
  expect_failures = [var.train_gpu]
}

run "training_on_a_gpu_without_its_image_is_refused" {
  command = plan
  variables {
    gpu_quota = 1
    train_gpu = { executions = 1 }
  }
  expect_failures = [var.train_gpu]
}

run "a_training_machine_too_small_for_its_gpu_is_refused" {
  command = plan
  variables {
    gpu_quota = 1
    train_gpu = { executions = 1, type = "nvidia-rtx-pro-6000", cpu = 20, memory_gib = 64 }
    prices    = { gpu_s = { "nvidia-rtx-pro-6000" = 0.001 } }
    images    = merge(var.images, { "train-cuda" = "repo/train-cuda@sha256:6666666666666666666666666666666666666666666666666666666666666666" })
  }
  expect_failures = [var.train_gpu]
}

run "a_training_gpu_without_a_price_is_refused" {
  command = plan
  variables {
    gpu_quota = 1
    train_gpu = { executions = 1, type = "nvidia-rtx-pro-6000", cpu = 20, memory_gib = 80 }
    images    = merge(var.images, { "train-cuda" = "repo/train-cuda@sha256:6666666666666666666666666666666666666666666666666666666666666666" })
  }
  expect_failures = [var.train_gpu]
}

run "a_training_job_shorter_than_a_training_is_refused" {
  command = plan
  variables {
    gpu_quota = 1
    train_gpu = { executions = 1, timeout_s = 1800 }
    images    = merge(var.images, { "train-cuda" = "repo/train-cuda@sha256:6666666666666666666666666666666666666666666666666666666666666666" })
  }
  expect_failures = [var.train_gpu]
}

run "an_unknown_training_gpu_is_refused" {
  command = plan
  variables {
    gpu_quota = 1
    train_gpu = { executions = 1, type = "nvidia-t4" }
    images    = merge(var.images, { "train-cuda" = "repo/train-cuda@sha256:6666666666666666666666666666666666666666666666666666666666666666" })
  }
  expect_failures = [var.train_gpu]
}

run "an_upload_that_memory_cannot_hold_is_refused" {
  command = plan
  variables {
    max_upload_bytes = 4294967297 # one byte more than a quarter of filter's 16 GiB
  }
  expect_failures = [var.max_upload_bytes]
}

run "an_upload_that_a_disk_cannot_hold_is_refused" {
  command = plan
  variables {
    max_upload_bytes = 5368709121 # one byte more than half of the disks
    stages = {
      filter     = { image = "media", cpu = 4, memory_gib = 8, timeout_s = 3600, max_executions = 4, next = "preprocess", disk_gib = 10 }
      preprocess = { image = "preprocess", cpu = 8, memory_gib = 16, timeout_s = 3600, max_executions = 2, reads_uploads = true, disk_gib = 10 }
    }
  }
  expect_failures = [var.max_upload_bytes]
}

run "every_stage_that_reads_uploads_counts" {
  command = plan
  variables {
    max_upload_bytes = 4294967297 # filter has a large disk, preprocess a byte too little memory
    stages = {
      filter     = { image = "media", cpu = 4, memory_gib = 8, timeout_s = 3600, max_executions = 4, next = "preprocess", disk_gib = 100 }
      preprocess = { image = "preprocess", cpu = 8, memory_gib = 16, timeout_s = 3600, max_executions = 2, reads_uploads = true }
    }
  }
  expect_failures = [var.max_upload_bytes]
}

run "an_upload_that_fits" {
  command = plan
  variables {
    max_upload_bytes = 4294967296
    stages = {
      filter     = { image = "media", cpu = 4, memory_gib = 8, timeout_s = 3600, max_executions = 4, next = "preprocess", disk_gib = 8 }
      preprocess = { image = "preprocess", cpu = 8, memory_gib = 16, timeout_s = 3600, max_executions = 2, next = "export", reads_uploads = true }
      export     = { image = "media", cpu = 1, memory_gib = 1, timeout_s = 3600, max_executions = 4 } # reads no upload
    }
  }

  assert {
    condition     = contains(module.trigger.environment, "MAX_UPLOAD_BYTES")
    error_message = "The limit must reach the function that signs uploads."
  }
}

run "a_video_takes_no_room" {
  command = plan
  variables {
    max_video_bytes = 10737418240 # more than any stage's memory or disk
  }

  assert {
    condition     = local.upload_bytes == 10737418240 && var.max_upload_bytes == 2147483648
    error_message = "A larger limit for videos must reach the function that signs uploads, and need no larger machines."
  }
}

run "a_limit_of_videos_below_that_of_all_uploads_is_refused" {
  command = plan
  variables {
    max_video_bytes = 2147483647
  }
  expect_failures = [var.max_video_bytes]
}

run "quota_is_asked_for_in_milligpu" {
  command = plan
  variables {
    request_gpu_quota = { gpus = 2, contact_email = "operator@example.com" }
  }

  assert {
    condition     = google_cloud_quotas_quota_preference.gpu[0].quota_config[0].preferred_value == "2000"
    error_message = "The quota counts thousandths of a GPU."
  }
}

run "a_new_stage_gets_everything" {
  command = plan
  variables {
    stages = {
      filter = { image = "media", cpu = 4, memory_gib = 8, timeout_s = 3600, max_executions = 4, next = "mesh" }
      mesh   = { image = "train", cpu = 8, memory_gib = 16, timeout_s = 7200, max_executions = 3, next = "export" }
      export = { image = "media", cpu = 2, memory_gib = 8, timeout_s = 3600, max_executions = 4 }
    }
  }

  assert {
    condition     = output.stages["mesh"].trigger.bucket == "test-project-splatworks-mesh-inbox"
    error_message = "A new stage must hear its own inbox."
  }
  assert {
    condition     = output.stages["mesh"].job.name == "splatworks-mesh" && output.stages["mesh"].job.limits["memory"] == "16Gi"
    error_message = "A new stage must have a job of the size it names."
  }
  assert {
    condition     = local.environment.JOBS == "export:splatworks-export,filter:splatworks-filter,mesh:splatworks-mesh" && strcontains(local.environment.SLOTS, "mesh:3")
    error_message = "The programs must know a new stage's job and slots."
  }
  assert {
    condition     = length([for grant in output.grants : grant if endswith(grant.on, "mesh-inbox") && grant.member == "serviceAccount:splatworks-filter-worker@test-project.iam.gserviceaccount.com"]) == 2
    error_message = "The stage before a new one must be able to write and look for manifests in its inbox."
  }
  assert {
    condition     = contains([for grant in output.grants : "${grant.member} ${grant.on}" if grant.role == "roles/run.invoker"], "serviceAccount:splatworks-requests@test-project.iam.gserviceaccount.com job splatworks-mesh")
    error_message = "The reaper must be able to launch a new stage's workers."
  }
}

run "a_stage_that_leads_nowhere_is_refused" {
  command = plan
  variables {
    stages = {
      filter = { image = "media", cpu = 4, memory_gib = 8, timeout_s = 3600, max_executions = 4, next = "mesh" }
    }
  }
  expect_failures = [var.stages]
}

run "images_by_tag_are_refused" {
  command = plan
  variables {
    images = { static = "repo/static:latest", media = "m", preprocess = "p", depth = "d", train = "t" }
  }
  expect_failures = [var.images]
}

run "requests_are_shared_out_between_models" {
  command = plan
  variables {
    depth_shares = { "depth-anything-v2-small" = 80, "model-b" = 20 }
    presets      = { high = { max_images = 90 } }
  }

  assert {
    condition     = local.declared.models.depth["model-b"] == 20 && local.declared.presets == { high = { max_images = 90 } } && local.declared.stages["train"].slots == 2
    error_message = "Operators must see what the deployment was made from."
  }
}

run "shares_that_are_not_everything_are_refused" {
  command = plan
  variables {
    depth_shares = { "depth-anything-v2-small" = 80, "model-b" = 30 }
  }
  expect_failures = [var.depth_shares]
}

run "a_preset_beyond_all_limits_is_refused" {
  command = plan
  variables {
    presets = { high = { train_budget_s = 86400 } }
  }
  expect_failures = [var.presets]
}
