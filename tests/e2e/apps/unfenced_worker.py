"""A worker whose checkpoint store refuses nobody: whoever writes last has written. It exists for the fault lab to see it."""

from __future__ import annotations

import sys

import citywatch
import topologies.checkpoints.redis_store as redis_store

if __name__ == "__main__":
    assert redis_store.is_older((1, 0), (2, 0))
    redis_store.is_older = lambda offered, held: False
    sys.exit(citywatch.main(sys.argv[1:]))
