terraform {
  required_version = ">= 1.9"

  # The very version whose schema the tests hold this folder against; a newer one is an edit here and a run of the tests.
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "6.50.0"
    }
  }
}
