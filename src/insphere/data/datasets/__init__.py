"""Data sets known by name: a file each, listed in `insphere.data.datasets.table`."""
