"""The store of runs: a database, files beside it, and files of results as lines of JSON."""
