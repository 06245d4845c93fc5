"""What is wrong: one idea per file, each a state machine over batches; rules as data in ``detectors/rules/*.toml``."""
