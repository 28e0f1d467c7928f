module "stage" {
  source   = "./modules/stage"
  for_each = local.stages

  stage          = each.key
  prefix         = var.name
  backend        = local.backend
  environment    = local.environment
  secrets        = local.secrets
  after          = local.after
  receiver_image = var.images["static"]
  worker         = merge(each.value, { image = var.images[each.value.image], usd_per_s = local.usd_per_s[each.key] })
  inbox          = google_storage_bucket.inbox[each.key].name
  next_inbox     = each.value.next == null ? null : google_storage_bucket.inbox[each.value.next].name
  continues = local.continues[each.key] == null ? null : {
    stage      = local.continues[each.key]
    next_inbox = try(google_storage_bucket.inbox[local.stages[local.continues[each.key]].next].name, null)
  }
  sources        = each.key == local.first_stage || each.value.reads_uploads ? var.source_buckets : []
  uploads        = each.value.reads_uploads ? google_storage_bucket.inbox[local.first_stage].name : null
  artifacts      = google_storage_bucket.artifacts.name
  finished_topic = google_pubsub_topic.this["reconstruction-finished"].name
}
