"""A broker and a Redis that need no installation: for trying out and for tests, on one machine, in memory.

For anything that matters, use Apache Kafka and a Redis of your own; that is two addresses.
"""
