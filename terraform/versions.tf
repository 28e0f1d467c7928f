terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.30, < 8"
    }
    random = {
      source  = "hashicorp/random"
      version = "~> 3.6"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.12"
    }
  }
  # terraform init -backend-config=bucket=PROJECT-splatworks-state -backend-config=prefix=splatworks/ENVIRONMENT
  backend "gcs" {}
}

provider "google" {
  project               = var.project_id
  region                = var.region
  user_project_override = true # quota calls are counted on this project
  billing_project       = var.project_id
}
