"""What a network trained on normal samples cannot reproduce is anomalous."""
