"""What finished runs say: tables, paired statistics, ablations."""
