"""A fitted detector as a folder of safetensors and JSON."""
