"""Analysis of finished runs: tables, paired statistics, ablations."""
