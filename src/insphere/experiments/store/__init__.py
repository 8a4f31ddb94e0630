"""Where runs are recorded: a database, files beside it, lines of JSON."""
