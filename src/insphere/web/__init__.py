"""What studio and server share: who may ask, and how much."""
