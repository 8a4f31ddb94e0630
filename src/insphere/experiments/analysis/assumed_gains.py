"""What the report that the ablation follows printed, for comparison; single runs, AUC in %."""

from __future__ import annotations

REPORTED_Z_SCORE = {
    "mnist": {
        "0": (97.99, 96.76),
        "1": (99.46, 99.46),
        "2": (85.17, 91.16),
        "3": (90.32, 92.40),
        "4": (94.66, 92.46),
        "5": (88.16, 87.82),
        "6": (97.86, 98.26),
        "7": (93.45, 94.70),
        "8": (91.68, 91.40),
        "9": (95.99, 96.59),
    }
}
"""By dataset and class: baseline, and with z-scored scores."""

REPORTED_FPSVDD = {
    "cifar10": {
        "airplane": (61.32, 62.36),
        "automobile": (60.25, 70.57),
        "bird": (49.46, 49.20),
        "cat": (57.54, 59.34),
        "deer": (57.31, 67.54),
        "dog": (64.19, 65.21),
        "frog": (53.07, 68.59),
        "horse": (60.95, 73.15),
        "ship": (76.68, 75.86),
        "truck": (68.17, 76.65),
    }
}
"""By dataset and class: baseline, and FPSVDD with ResNet-50, layers 2 to 4, 3×3 patches."""
