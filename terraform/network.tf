# One network for the services and jobs, reached by direct VPC egress. It has no way to the internet (no NAT): workers send
# everything through it, so a program tricked by a hostile video can talk to Google's APIs and to Redis and to nobody else. With redis.engine = url nothing uses it: that store is on the internet.

resource "google_compute_network" "this" {
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "run" {
  name    = "${var.name}-run"
  network = google_compute_network.this.id
  region  = var.region
  # Direct VPC egress takes up to four addresses an instance and keeps them an hour or two after it went.
  ip_cidr_range            = local.cidr.run
  private_ip_google_access = true
}

locals {
  cidr = {
    run   = "10.80.0.0/20"
    redis = "10.80.16.0/29" # what an instance without read replicas takes
  }
}

resource "google_compute_firewall" "egress_denied" {
  name               = "${var.name}-egress-denied"
  network            = google_compute_network.this.id
  direction          = "EGRESS"
  priority           = 65000
  destination_ranges = ["0.0.0.0/0"]
  deny { protocol = "all" }
}

resource "google_compute_firewall" "egress_google" {
  name    = "${var.name}-egress-google"
  network = google_compute_network.this.id
  # Without NAT only Google's APIs answer, through Private Google Access.
  description        = "HTTPS; only Google APIs are reachable from here"
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = ["0.0.0.0/0"]
  allow {
    protocol = "tcp"
    ports    = ["443"]
  }
}

resource "google_compute_firewall" "egress_redis" {
  name               = "${var.name}-egress-redis"
  network            = google_compute_network.this.id
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = [local.cidr.redis, local.cidr.run] # Valkey's endpoint and the queue's own machine have an address of the subnet
  allow {
    protocol = "tcp"
    ports    = ["6378-6379"] # TLS of Memorystore for Redis, and Valkey
  }
}
