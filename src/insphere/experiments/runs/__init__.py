"""What one run is, and how it is trained and evaluated."""
