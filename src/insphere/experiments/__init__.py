"""Many runs, measured honestly: specs with an identity, a resumable runner, rows, tables."""
