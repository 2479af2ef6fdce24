"""Training an encoder: network, losses, augmentation, loop, stage."""
