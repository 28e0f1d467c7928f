# Alerts, each with a section of the same name in docs/operations.md, Runbook. The queue's own numbers come from the line
# that the reaper logs every minute.

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alert_emails)

  display_name = each.key
  type         = "email"
  labels       = { email_address = each.key }
}

locals {
  # The service is named, not referred to: the metrics are made at the beginning of an apply, long before the alerts on them.
  reaper_log = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}-requests\" AND jsonPayload.message=\"tick\""
  # Share of its memory that the store uses; a store of one's own, or somebody else's, has no such metric.
  redis_filter = lookup({
    redis  = "resource.type = \"redis_instance\" AND metric.type = \"redis.googleapis.com/stats/memory/usage_ratio\""
    valkey = "resource.type = \"memorystore.googleapis.com/Instance\" AND metric.type = \"memorystore.googleapis.com/instance/memory/maximum_utilization\""
  }, var.redis.engine, null)

  alerts = { for name, alert in {
    "Reaper silent" = {
      severity = "CRITICAL", absent = true, threshold = 0, duration_s = 600, aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", group_by = []
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.ticks.name}\""
    }
    "Oldest queued task" = {
      severity = "WARNING", absent = false, threshold = var.alert_thresholds.oldest_queued_s, duration_s = 300, aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", group_by = []
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.oldest_ready.name}\""
    }
    "Leases expire" = {
      severity = "WARNING", absent = false, threshold = 3, duration_s = 0, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", group_by = []
      filter   = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.expired_leases.name}\""
    }
    "Executions fail" = {
      severity = "ERROR", absent = false, threshold = 2, duration_s = 0, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", group_by = ["resource.label.job_name"]
      filter   = "resource.type = \"cloud_run_job\" AND resource.label.job_name = starts_with(\"${var.name}-\") AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.label.result = \"failed\""
    }
    "Redis memory" = {
      severity = "CRITICAL", absent = false, threshold = var.alert_thresholds.redis_memory_ratio, duration_s = 300, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", group_by = []
      filter   = local.redis_filter
    }
    "Requests fail" = {
      severity = "ERROR", absent = false, threshold = var.alert_thresholds.failed_ratio, duration_s = 0, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", group_by = []
      filter   = local.failed_filter
      of       = local.ended_filter
    }
    "Receivers answer 5xx" = {
      severity = "ERROR", absent = false, threshold = 5, duration_s = 0, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", group_by = ["resource.label.service_name"]
      filter   = "resource.type = \"cloud_run_revision\" AND resource.label.service_name = starts_with(\"${var.name}-\") AND metric.type = \"run.googleapis.com/request_count\" AND metric.label.response_code_class = \"5xx\""
    }
    "Events undelivered" = {
      severity = "ERROR", absent = false, threshold = 600, duration_s = 300, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", group_by = ["resource.label.subscription_id"]
      filter   = "resource.type = \"pubsub_subscription\" AND resource.label.subscription_id = starts_with(\"eventarc-${var.region}-${var.name}-\") AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
    }
  } : name => merge({ of = tostring(null) }, alert) if alert.filter != null }

  failed_filter = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.ended_failed.name}\""
  ended_filter  = "resource.type = \"cloud_run_revision\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.ended.name}\""
}

resource "google_logging_metric" "ticks" {
  name        = "${var.name}-reaper-ticks"
  description = "Passes of the reaper"
  filter      = local.reaper_log
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_logging_metric" "expired_leases" {
  name        = "${var.name}-expired-leases"
  description = "Passes of the reaper that found expired leases"
  filter      = "${local.reaper_log} AND jsonPayload.expired_leases>0"
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

# The tick says how many requests ended since the one before, by status. What a client called off is nobody's failure.
resource "google_logging_metric" "ended" {
  name        = "${var.name}-ended"
  description = "Minutes in which requests were completed or failed"
  filter      = "${local.reaper_log} AND (jsonPayload.ended.COMPLETED>0 OR jsonPayload.ended.FAILED>0)"
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_logging_metric" "ended_failed" {
  name        = "${var.name}-ended-failed"
  description = "Minutes in which requests failed"
  filter      = "${local.reaper_log} AND jsonPayload.ended.FAILED>0"
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

# Receivers log each event, and whether it added a task: one that came before did not.
resource "google_logging_metric" "events_repeated" {
  name        = "${var.name}-events-repeated"
  description = "Events that were dropped because their task was known"
  filter      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^${var.name}-[a-z]+-receiver$\" AND jsonPayload.message=\"event received\" AND jsonPayload.added=false"
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

# Notify logs each try to deliver a webhook or a mail.
resource "google_logging_metric" "deliveries" {
  name        = "${var.name}-deliveries"
  description = "Tries to deliver webhooks and mails, by outcome"
  filter      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}-notify\" AND (jsonPayload.message=\"webhook\" OR jsonPayload.message=\"mail\")"
  label_extractors = {
    way     = "EXTRACT(jsonPayload.message)"
    outcome = "EXTRACT(jsonPayload.outcome)"
  }
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    labels {
      key = "way"
    }
    labels {
      key = "outcome"
    }
  }
}

resource "google_logging_metric" "oldest_ready" {
  name            = "${var.name}-oldest-ready"
  description     = "Age of the task that waits longest, of any stage"
  filter          = local.reaper_log
  value_extractor = "EXTRACT(jsonPayload.oldest_ready_s)"
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "s"
  }
  bucket_options {
    exponential_buckets {
      scale              = 10
      growth_factor      = 1.5
      num_finite_buckets = 24 # up to two days
    }
  }
}

# An alert, or an objective, on a metric that Monitoring has not heard of yet is refused (404). It may take ten minutes; the
# apply is repeated, too (build/apply.sh).
resource "time_sleep" "metrics_known" {
  create_duration = "240s"
  triggers        = { metrics = join(" ", [google_logging_metric.ticks.id, google_logging_metric.expired_leases.id, google_logging_metric.oldest_ready.id, google_logging_metric.ended.id, google_logging_metric.ended_failed.id, google_logging_metric.events_repeated.id, google_logging_metric.deliveries.id]) }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  display_name          = "${var.name}: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  conditions {
    display_name = each.key

    dynamic "condition_threshold" {
      for_each = each.value.absent ? [] : [each.value]
      content {
        filter          = condition_threshold.value.filter
        comparison      = "COMPARISON_GT"
        threshold_value = condition_threshold.value.threshold
        duration        = "${condition_threshold.value.duration_s}s"
        # With a denominator the threshold is a share, of an hour.
        denominator_filter = condition_threshold.value.of
        dynamic "denominator_aggregations" {
          for_each = condition_threshold.value.of[*]
          content {
            alignment_period     = "3600s"
            per_series_aligner   = "ALIGN_DELTA"
            cross_series_reducer = "REDUCE_SUM"
          }
        }
        aggregations {
          alignment_period     = condition_threshold.value.of == null ? "600s" : "3600s"
          per_series_aligner   = condition_threshold.value.aligner
          cross_series_reducer = condition_threshold.value.reducer
          group_by_fields      = condition_threshold.value.group_by
        }
      }
    }
    dynamic "condition_absent" {
      for_each = each.value.absent ? [each.value] : []
      content {
        filter   = condition_absent.value.filter
        duration = "${condition_absent.value.duration_s}s"
        aggregations {
          alignment_period     = "60s"
          per_series_aligner   = condition_absent.value.aligner
          cross_series_reducer = condition_absent.value.reducer
        }
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What to do: docs/operations.md, Runbook, \"${each.key}\"."
  }

  alert_strategy { auto_close = "86400s" }

  depends_on = [time_sleep.metrics_known]
}

# The objective: of the minutes in which requests end, nine of ten without a failure, over four weeks.
resource "google_monitoring_custom_service" "this" {
  service_id   = var.name
  display_name = var.name
}

resource "google_monitoring_slo" "completed" {
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "completed"
  display_name        = "Requests are completed"
  goal                = 0.9
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      bad_service_filter   = local.failed_filter
      total_service_filter = local.ended_filter
    }
  }

  depends_on = [time_sleep.metrics_known]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = templatefile("${path.module}/dashboard.json.tftpl", {
    name         = var.name
    redis_filter = local.redis_filter == null ? "" : replace(local.redis_filter, "\"", "\\\"")
  })
}
