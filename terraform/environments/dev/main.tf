# A backend to try things with: CPUs only until a quota is named, the smallest Redis, everything may be deleted.

module "splatworks" {
  source = "../.."

  project_id        = var.project_id
  region            = var.region
  name              = "splatworks"
  labels            = { environment = "dev" }
  images            = var.images
  gpu_quota         = var.gpu_quota
  train_gpu         = var.train_gpu
  depth_gpu         = var.depth_gpu
  depth_model       = var.depth_model
  request_gpu_quota = var.request_gpu_quota
  trigger_invokers  = var.trigger_invokers
  public_url        = var.public_url
  operators         = var.operators
  cors_origins      = var.cors_origins
  api_keys          = var.api_keys
  rate_limit        = var.rate_limit
  proxies           = var.proxies
  request_limits    = var.request_limits
  api_key_limits    = var.api_key_limits
  max_upload_bytes  = var.max_upload_bytes
  source_buckets    = var.source_buckets
  prices            = var.prices
  alert_emails      = var.alert_emails
  budget            = var.budget
  retention_days    = { uploads = 7, manifests = 7, artifacts = 7 }
  protect           = false
}
