"""Deep SVDD: networks trained to enclose normal samples in a sphere."""
