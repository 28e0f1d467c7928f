terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.30, < 8"
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = ">= 7.30, < 8"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.12"
    }
  }
  # The bucket comes from: terraform init -backend-config=bucket=PROJECT-splatworks-state
  backend "gcs" {
    prefix = "splatworks/bootstrap"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
}

provider "google-beta" {
  project = var.project_id
  region  = var.region
}
