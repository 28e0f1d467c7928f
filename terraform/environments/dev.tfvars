# What makes dev a backend to try things with: the smallest queue, everything may be deleted. Your settings go into
# dev.settings.tfvars beside this file and are read after it.
labels         = { environment = "dev" }
redis          = { engine = "vm" }
retention_days = { uploads = 7, manifests = 7, artifacts = 7 }
protect        = false
