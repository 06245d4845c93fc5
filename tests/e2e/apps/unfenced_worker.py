"""A worker whose checkpoint store refuses nobody: whoever writes last has written. It exists for the fault lab to see it."""

from __future__ import annotations

import sys

import citywatch
import topologies.checkpoints.redis_store as redis_store

if __name__ == "__main__":
    compare = "if held[1] and ("
    assert compare in redis_store._WRITE
    redis_store._WRITE = redis_store._WRITE.replace(compare, "if false and (")
    sys.exit(citywatch.main(sys.argv[1:]))
