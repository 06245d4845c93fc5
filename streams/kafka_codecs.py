"""kafka-python reads lz4, snappy and zstd by the same library as aiokafka.

Of itself it needs a package for each, and fails in the middle of a topic where one is missing. aiokafka has decoders that
rest on cramjam, which is installed with citywatch; Java's framing of snappy is known to them.
"""

from __future__ import annotations

from functools import cache


@cache
def lend_codecs() -> None:
    """Put aiokafka's decoders where kafka-python has none of its own."""
    import kafka.codec
    import kafka.record.default_records
    import kafka.record.legacy_records
    from aiokafka import codec

    for name in ("lz4", "snappy", "zstd"):
        if getattr(kafka.codec, f"has_{name}")():
            continue
        setattr(kafka.codec, f"has_{name}", getattr(codec, f"has_{name}"))
        for module in (kafka.codec, kafka.record.default_records, kafka.record.legacy_records):
            setattr(module, f"{name}_decode", getattr(codec, f"{name}_decode"))
