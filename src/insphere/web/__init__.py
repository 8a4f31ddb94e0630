"""What every server of insphere needs: an address, who may use it, and what visitors may send."""
