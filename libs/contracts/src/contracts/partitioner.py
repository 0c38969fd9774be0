"""Kafka's default partitioner (murmur2), byte for byte.

Java clients and aiokafka use it by default; librdkafka needs `partitioner=murmur2_random`. A record of
`coupon.commands` in another partition than `partition_of(key)` is a dead letter `wrong_partition`.
Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner.
"""

from __future__ import annotations

from functools import lru_cache


def murmur2(data: bytes) -> int:
    """The signed-free 32-bit murmur2 hash of Kafka's Java client."""
    length = len(data)
    m = 0x5BD1E995
    h = (0x9747B28C ^ length) & 0xFFFFFFFF
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * m) & 0xFFFFFFFF
        k ^= k >> 24
        k = (k * m) & 0xFFFFFFFF
        h = ((h * m) & 0xFFFFFFFF) ^ k
    rest = length - whole
    if rest:
        if rest == 3:
            h ^= data[whole + 2] << 16
        if rest >= 2:
            h ^= data[whole + 1] << 8
        h ^= data[whole]
        h = (h * m) & 0xFFFFFFFF
    h ^= h >> 13
    h = (h * m) & 0xFFFFFFFF
    return h ^ (h >> 15)


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition a record with this key belongs to."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
