"""The studio: choose, train for real, compare, see why. It asks `experiments` for everything."""
