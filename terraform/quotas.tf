resource "google_cloud_quotas_quota_preference" "gpu" {
  count = var.request_gpu_quota == null ? 0 : 1

  parent        = "projects/${var.project_id}"
  name          = "${var.name}-l4-${var.region}"
  service       = "run.googleapis.com"
  quota_id      = "NvidiaL4GpuAllocNoZonalRedundancyPerProjectRegion"
  dimensions    = { region = var.region }
  contact_email = var.request_gpu_quota.contact_email
  justification = "Depth estimation and training jobs on Cloud Run"
  quota_config { preferred_value = tostring(1000 * var.request_gpu_quota.gpus) } # milliGPU
}
