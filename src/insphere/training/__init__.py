"""The training loop, its objectives, the collapse guard and checkpoints."""
