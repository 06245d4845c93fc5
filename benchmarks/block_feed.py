"""Readings by the block: record batches made beforehand, of which only the time changes, written to the broker as they are.

A client makes every record anew, a microsecond and more each, and shares a core with the broker here: it could not send ten
times a city's rates. A block is a record batch of one partition, the readings of a few hundred sensors, with room for thirteen
digits where each says its time. To send it is to write the digits, the batch's own times and its checksum.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle

import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from streams.partitioner import partition_of

#: Records of a block: at a city's rates one comes every few milliseconds.
BLOCK = 500
#: What stands for the time until a block is sent.
ANY_TIME = b"1000000000000"
#: Requests the broker has not answered yet.
_WAITING = 64
_TIMEOUT_S = 60.0
#: Where a record batch (version 2) has its checksum, and from where on it counts; its first and its last time.
_CRC, _COUNTED, _TIMES = 17, 21, 27
_PRODUCE, _VERSION = 0, 3

#: Key and value, with :data:`ANY_TIME` in it, of one reading.
Reading = tuple[bytes, bytes]


class Block:
    """One record batch; :meth:`at` gives its bytes for a time, good until it is asked again."""

    def __init__(self, partition: int, readings: Sequence[Reading]) -> None:
        self.partition, self.records = partition, len(readings)
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=-1,
            batch_size=1 << 24,
        )
        for number, (key, value) in enumerate(readings):
            builder.append(number, timestamp=0, key=key, value=value, headers=[])
        self._bytes = np.frombuffer(bytes(builder.build()), dtype=np.uint8).copy()
        found = [match.start() for match in re.finditer(re.escape(ANY_TIME), self._bytes.tobytes())]
        if len(found) != self.records:
            raise ValueError(f"{len(found)} times in {self.records} readings")
        self._digits = np.array(found)[:, None] + np.arange(len(ANY_TIME))

    def at(self, ts: int) -> memoryview:
        self._bytes[self._digits] = np.frombuffer(b"%d" % ts, dtype=np.uint8)
        data = self._bytes.data
        struct.pack_into(">qq", data, _TIMES, ts, ts)
        struct.pack_into(">I", data, _CRC, calc_crc32c(bytes(data[_COUNTED:])))
        return data


def blocks(readings: Iterable[Reading], partitions: int, size: int = BLOCK) -> list[Block]:
    """By the partition of their keys, which take turns as long as they have any."""
    held: list[list[Reading]] = [[] for _ in range(partitions)]
    found: list[Block] = []
    for reading in readings:
        partition = partition_of(reading[0].decode(), partitions)
        held[partition].append(reading)
        if len(held[partition]) == size:
            found.append(Block(partition, held[partition]))
            held[partition] = []
    return [*found, *(Block(partition, rest) for partition, rest in enumerate(held) if rest)]


class BlockFeed:
    """Sends block after block, round and round, to one broker that leads all partitions of the topic."""

    def __init__(self, bootstrap: str, topic: str, turn: Sequence[Block]) -> None:
        host, port = bootstrap.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), _TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._topic = topic.encode()
        self._turn = cycle(turn)
        self._next = next(self._turn)
        self._owed = 0.0
        self._room = threading.Semaphore(_WAITING)
        self._failure: Exception | None = None
        threading.Thread(target=self._answers, name="bench-answers", daemon=True).start()

    def owe(self, records: float, ts: int) -> int:
        """So many more are due at ``ts``; how many were sent, in whole blocks. Raises RuntimeError where one was refused."""
        self._owed += records
        sent = 0
        while self._owed >= self._next.records:
            self._send(self._next, ts)
            self._owed -= self._next.records
            sent += self._next.records
            self._next = next(self._turn)
        return sent

    def flush(self) -> None:
        """Wait for all answers."""
        for _ in range(_WAITING):
            self._take_room()
        self._room.release(_WAITING)

    def _send(self, block: Block, ts: int) -> None:
        self._take_room()
        data, topic = block.at(ts), self._topic
        body = b"".join(
            (
                # Request header: what, version, a number we do not need, no name of the client.
                struct.pack(">hhih", _PRODUCE, _VERSION, 0, -1),
                # No transaction, all replicas, how long; one topic, one partition.
                struct.pack(">hhii", -1, -1, int(_TIMEOUT_S * 1000), 1),
                struct.pack(">h", len(topic)) + topic + struct.pack(">iii", 1, block.partition, len(data)),
                data,
            )
        )
        self._socket.sendall(struct.pack(">i", len(body)) + body)

    def _take_room(self) -> None:
        if not self._room.acquire(timeout=_TIMEOUT_S):
            self._failure = self._failure or TimeoutError(f"the broker did not answer within {_TIMEOUT_S:g} s")
        if self._failure is not None:
            raise RuntimeError(f"blocks cannot be written: {self._failure}") from self._failure

    def _answers(self) -> None:
        """The broker answers in the order of the requests: one topic, one partition, its error."""
        try:
            while True:
                answer = self._read(struct.unpack(">i", self._read(4))[0])
                (error,) = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(self._topic) + 4 + 4)
                if error:
                    raise ValueError(f"error {error} of the Kafka protocol")
                self._room.release()
        except (OSError, ValueError, struct.error) as failure:
            self._failure = failure
            self._room.release()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            if not piece:
                raise OSError("the broker closed the connection")
            data += piece
        return data


#: What sends readings that are due at a time, and says how many it sent.
Owe = Callable[[float, int], int]
