"""What happened: bags, record, play, run, diff, verify, importers, the simulated city."""
