"""Peak memory of processes, as the system counts it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil


class Peaks:
    """The greatest resident size of each process so far, over its restarts; a server's helpers belong to it."""

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}

    def look(self, processes: Mapping[str, int]) -> None:
        """Look at these processes (name → pid) now."""
        for name, pid in processes.items():
            try:
                family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
            except psutil.NoSuchProcess:
                continue
            largest = max((peak_bytes(each) for each in family), default=0)
            self.bytes[name] = max(self.bytes.get(name, 0), largest)


def peak_bytes(pid: int) -> int:
    """The process's peak resident size (VmHWM); where the system does not tell, its size now; 0 if it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
