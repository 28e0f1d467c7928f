# The queue. noeviction: leases and rate-limit keys have expiry times and would be the first to be thrown out. What is lost
# with an instance is rebuilt from the manifests in the buckets. The engine vm is in vm.tf.

locals {
  redis_config = { "maxmemory-policy" = "noeviction" }
  redis_window = { day = "SUNDAY", hours = 4 } # certificates and versions change in it; clients reconnect

  outside = var.redis.engine == "url" # the store is on the internet, and no private network is needed

  valkey_endpoint = one([for connection in flatten(google_memorystore_instance.queue[*].endpoints[*].connections[*].psc_auto_connection[*]) : connection if connection.connection_type == "CONNECTION_TYPE_PRIMARY" || connection.connection_type == "CONNECTION_TYPE_DISCOVERY"])

  # rediss: TLS, checked against the authority's certificates in REDIS_CA_CERT.
  redis_url = (
    var.redis.engine == "redis" ? "rediss://default:${one(google_redis_instance.queue[*].auth_string)}@${one(google_redis_instance.queue[*].host)}:${one(google_redis_instance.queue[*].port)}/0" :
    var.redis.engine == "valkey" ? "rediss://default:${urlencode(var.valkey_token)}@${local.valkey_endpoint.ip_address}:${local.valkey_endpoint.port}/0" :
    var.redis.engine == "vm" ? "redis://default:${one(random_password.queue[*].result)}@${local.vm_address}:6379/0" : ""
  )
  redis_ca_cert = join("\n", concat(
    flatten(google_redis_instance.queue[*].server_ca_certs[*].cert),
    flatten(google_memorystore_instance.queue[*].managed_server_ca[*].ca_certs[*].certificates),
  ))
  redis_secret = local.outside ? var.redis.url_secret : google_secret_manager_secret.redis_url[0].secret_id
}

resource "google_redis_instance" "queue" {
  count = var.redis.engine == "redis" ? 1 : 0

  name                    = "${var.name}-queue"
  region                  = var.region
  tier                    = var.redis.tier
  memory_size_gb          = var.redis.memory_gib
  redis_version           = "REDIS_7_2"
  authorized_network      = google_compute_network.this.id
  connect_mode            = "DIRECT_PEERING"
  reserved_ip_range       = local.cidr.redis
  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"
  redis_configs           = local.redis_config
  customer_managed_key    = var.kms_key_name
  deletion_protection     = local.protect
  labels                  = local.labels

  dynamic "persistence_config" {
    for_each = var.redis.tier == "STANDARD_HA" ? ["RDB"] : []
    content {
      persistence_mode    = persistence_config.value
      rdb_snapshot_period = "ONE_HOUR"
    }
  }

  maintenance_policy {
    weekly_maintenance_window {
      day = local.redis_window.day
      start_time { hours = local.redis_window.hours }
    }
  }
}

resource "google_network_connectivity_service_connection_policy" "valkey" {
  count = var.redis.engine == "valkey" ? 1 : 0

  name          = "${var.name}-valkey"
  location      = var.region
  network       = google_compute_network.this.id
  service_class = "gcp-memorystore"
  psc_config { subnetworks = [google_compute_subnetwork.run.id] }
}

resource "google_memorystore_instance" "queue" {
  count = var.redis.engine == "valkey" ? 1 : 0

  instance_id                 = "${var.name}-queue"
  location                    = var.region
  mode                        = "CLUSTER_DISABLED"
  shard_count                 = 1
  replica_count               = var.redis.replicas
  node_type                   = var.redis.node_type
  authorization_mode          = "TOKEN_AUTH"
  transit_encryption_mode     = "SERVER_AUTHENTICATION"
  engine_configs              = local.redis_config
  kms_key                     = var.kms_key_name
  deletion_protection_enabled = local.protect
  labels                      = local.labels

  desired_auto_created_endpoints {
    network    = google_compute_network.this.id
    project_id = var.project_id
  }

  persistence_config {
    mode = "AOF"
    aof_config { append_fsync = "EVERY_SEC" }
  }

  maintenance_policy {
    weekly_maintenance_window {
      day = local.redis_window.day
      start_time { hours = local.redis_window.hours }
    }
  }

  depends_on = [google_network_connectivity_service_connection_policy.valkey]
}

check "valkey_token" {
  assert {
    condition     = var.redis.engine != "valkey" || var.valkey_token != ""
    error_message = "The Valkey instance has no token yet, so nothing could reach the queue: make it first (docs/operations.md, Valkey). make deploy does."
  }
}

# Of the machine's own store, the password alone; the others give theirs.
resource "random_password" "queue" {
  count = var.redis.engine == "vm" ? 1 : 0

  length  = 40
  special = false
}

resource "google_secret_manager_secret" "redis_url" {
  count = local.outside ? 0 : 1

  secret_id = "${var.name}-redis-url"
  labels    = local.labels
  replication {
    user_managed {
      replicas {
        location = var.region
        dynamic "customer_managed_encryption" {
          for_each = var.kms_key_name == null ? [] : [var.kms_key_name]
          content { kms_key_name = customer_managed_encryption.value }
        }
      }
    }
  }
}

resource "google_secret_manager_secret_version" "redis_url" {
  count = local.outside ? 0 : 1

  secret      = google_secret_manager_secret.redis_url[0].id
  secret_data = local.redis_url
}
