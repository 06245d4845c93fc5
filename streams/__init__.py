"""What flows: record types, the table of topics, bytes to records, quality gate, event time, geography, Kafka."""
