# What makes prod the backend for others: a replicated queue, nothing deleted by accident, every object access on record. Your
# settings go into prod.settings.tfvars beside this file and are read after it.
labels         = { environment = "prod" }
redis          = { engine = "redis", tier = "STANDARD_HA" }
retention_days = { uploads = 14, manifests = 90, artifacts = 90 }
audit_logs     = true
protect        = true
