"""Microseconds per generated code: making and reading, one by one and in rows.

Beside them the limit (the ten AES blocks a code takes, enciphered alone, in the same chunks) and the rival:
random codes, as a program that stores them would draw them.

    python -m benchmarks.codes [--count 300000] [--json FILE]
"""

import argparse
import json
import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from coupon_core.codes import ff1
from coupon_core.codes.generated import ALPHABET, LENGTH, GeneratedCodes

KEY = bytes(range(32))
RUNS = 5


def aes_alone(count: int) -> None:
    chunk = bytes(16 * ff1.CHUNK)
    room = bytearray(16 * ff1.CHUNK + 15)
    for _ in range(max(1, count // ff1.CHUNK)):
        encipher = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
        for _ in range(ff1.ROUNDS):
            encipher.update_into(chunk, room)


def random_codes(count: int) -> None:
    for _ in range(count):
        "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def microseconds(action: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1e6 / count


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--count", type=int, default=300_000, help="codes per run of the rows")
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()
    many = max(ff1.CHUNK, options.count // ff1.CHUNK * ff1.CHUNK)
    few = many // 100

    codes = GeneratedCodes({1: KEY})
    written = codes.codes_of(0, many)
    measured: dict[str, tuple[Callable[[], object], int]] = {
        "make, in rows": (lambda: codes.codes_of(0, many), many),
        "read, in rows": (lambda: codes.serials_of(written), many),
        "make, one by one": (lambda: [codes.code_of(serial) for serial in range(few)], few),
        "read, one by one": (lambda: [codes.serial_of(code) for code in written[:few]], few),
        "limit: AES alone, in rows": (lambda: aes_alone(many), many),
        "rival: random codes": (lambda: random_codes(few), few),
    }
    # Alternating, so that a busy moment of the machine does not fall on one of them.
    runs = [{name: microseconds(*what) for name, what in measured.items()} for _ in range(RUNS)]
    median = {name: statistics.median(run[name] for run in runs) for name in measured}

    print(f"{'':28}{'µs per code':>12}{'spread':>20}")
    for name in measured:
        values = [run[name] for run in runs]
        print(f"{name:28}{median[name]:12.3f}{f'{min(values):.3f} to {max(values):.3f}':>20}")
    ours, limit, rival = (
        median[name] for name in ("make, in rows", "limit: AES alone, in rows", "rival: random codes")
    )
    figure = {
        "name": "codes",
        "unit": "µs per code",
        "ours": ours,
        "limit": limit,
        "rival": rival,
        "to_limit": limit / ours,
        "to_rival": rival / ours,
    }
    print(f"\nmaking in rows: {figure['to_limit']:.2f} of the limit, {figure['to_rival']:.1f} x the rival")
    if options.json:
        options.json.write_text(json.dumps(figure, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
