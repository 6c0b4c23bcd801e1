"""Many rows at once: files in, files with predictions out; slice by slice, each done once."""
