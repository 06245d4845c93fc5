"""Who is told: routing tree, outbox, one file per sink."""
