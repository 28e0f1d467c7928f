variable "project_id" {
  description = "Project that holds the backend."
  type        = string
}

variable "region" {
  description = "Region of the images and of everything else."
  type        = string
}

variable "state_bucket" {
  description = "Bucket of terraform's state, made by deploy.sh: the one thing that terraform cannot make for itself."
  type        = string
}

variable "keep_images" {
  description = "Versions of each image that stay however old they are. A build makes three: an index, the image, and what it was made from."
  type        = number
  default     = 30
}
