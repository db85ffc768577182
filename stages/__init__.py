"""One script for each stage of dvc.yaml."""
