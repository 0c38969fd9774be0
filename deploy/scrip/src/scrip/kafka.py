"""The local Apache Kafka: one broker and controller in one JVM, loopback only, data in the home."""

import base64
import contextlib
import os
import secrets
import subprocess
import uuid
from collections.abc import Sequence

import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from scrip.errors import PlatformError
from scrip.home import Home, port_is_free, write_private
from scrip.java import Java, find_java
from scrip.kafka_jars import Progress, class_path
from scrip.supervisor import ChildSpec
from scrip.waiting import run_coroutine

VERSION = "4.3.1"
HEAP = ("-Xms256m", "-Xmx512m")
REQUEST_TIMEOUT_MS = 5_000

# Small settings for one machine. The short session time-out lets a broker that was killed with -9 register
# again after two seconds instead of nine.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


class LocalKafka:
    """The broker of a home. Its working directory is its data directory, so no path has to be quoted."""

    def __init__(self, home: Home, heap: Sequence[str] = HEAP) -> None:
        self.home = home
        self.directory = home.kafka
        self.heap = heap
        self.java: Java | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.home.port('kafka')}"

    def prepare(self, progress: Progress | None = None) -> ChildSpec:
        """Fetch what is missing, format a new data directory, check the ports; returns how to start.

        Raises PlatformError. Blocks for the download at the first use on a machine.
        """
        self.java = find_java()
        jars = class_path(progress=progress)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        self._end_leftover()
        broker = self.home.require_free("kafka")
        controller = self.home.require_free("kafka-controller")
        write_private(self.directory / "server.properties", PROPERTIES.format(broker=broker, controller=controller))
        command = [
            str(self.java.program),
            *self.heap,
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *self.java.flags(),
            "-cp",
            os.pathsep.join(map(str, jars)),
        ]
        if not (self.directory / "log" / "meta.properties").exists():
            self._format(command)
        return ChildSpec(
            name="kafka",
            command=[*command, "kafka.Kafka", "server.properties"],
            log=self.home.logs / "kafka.log",
            environment={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
            directory=self.directory,
            ready=lambda: not port_is_free(broker) and run_coroutine(broker_answers(self.bootstrap)),
            before_start=self._end_leftover,
            stop_seconds=15.0,
        )

    def _format(self, command: list[str]) -> None:
        cluster = self.home.kept("kafka-cluster-id", new_cluster_id)
        arguments = ["format", "--standalone", "--ignore-formatted", "-t", cluster, "-c", "server.properties"]
        formatted = subprocess.run(
            [*command, "kafka.tools.StorageTool", *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode != 0:
            said = (formatted.stderr.strip() or formatted.stdout.strip()).splitlines()[-1:]
            raise PlatformError(f"Kafka's data directory {self.directory} cannot be formatted: {' '.join(said)}")

    def _end_leftover(self) -> None:
        """End a broker of this directory that outlived a killed supervisor (systems without a death
        signal).
        """
        for process in psutil.process_iter(["cmdline"]):
            if "kafka.Kafka" in (process.info["cmdline"] or []):
                with contextlib.suppress(psutil.Error):
                    if process.cwd() == str(self.directory.resolve()):
                        process.kill()
                        process.wait(10)


def new_cluster_id() -> str:
    """22 characters in Kafka's form of a UUID, never starting with a dash (it would be read as an option)."""
    while True:
        text = base64.urlsafe_b64encode(uuid.UUID(bytes=secrets.token_bytes(16), version=4).bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


async def broker_answers(bootstrap: str) -> bool:
    """Whether the broker serves metadata and has a group coordinator (asking makes the offsets topic)."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        await admin.find_coordinator("scrip-start")
    except (TimeoutError, KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return True
