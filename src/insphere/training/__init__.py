"""The one training loop, its objectives, and what watches over it."""
