terraform {
  required_version = ">= 1.9"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.30, < 8"
    }
  }
  # terraform init -backend-config=bucket=PROJECT-splatworks-state -backend-config=prefix=splatworks/ENVIRONMENT/owner
  backend "gcs" {}
}

provider "google" {
  project               = var.project_id
  user_project_override = true # calls about budgets are counted on this project
  billing_project       = var.project_id
}
