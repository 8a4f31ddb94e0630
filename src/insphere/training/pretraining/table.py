"""The kinds of pretraining that a spec can name. A new one needs a file and a line here."""

from __future__ import annotations

PRETRAININGS = {
    "autoencoder": "insphere.training.pretraining.autoencoder.AutoencoderPretraining",
    "rotation": "insphere.training.pretraining.rotation.RotationPretraining",
    "simclr": "insphere.training.pretraining.simclr.SimCLRPretraining",
    "byol": "insphere.training.pretraining.byol.BYOLPretraining",
    "vicreg": "insphere.training.pretraining.vicreg.VICRegPretraining",
}
"""Module and class of the settings of each form."""
