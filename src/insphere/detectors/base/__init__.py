"""What every detector shares: the estimator, calibration, reading networks back."""
