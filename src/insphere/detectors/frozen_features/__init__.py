"""Features of a pretrained network, as components that detectors take."""
