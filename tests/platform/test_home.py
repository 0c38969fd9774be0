"""A platform's home: one supervisor, kept ports, private secrets, untouched parents."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scrip.errors import PlatformError
from scrip.home import Home, pick_free_port
from scrip.keys import KNOWLEDGE, ensure_secrets


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestFolder:
    def test_it_is_private_and_leaves_the_folders_above_as_they_are(self, tmp_path: Path) -> None:
        parent = tmp_path / "somebody's folder"
        parent.mkdir(mode=0o711)
        parent.chmod(0o711)
        assert mode(Home(parent / "home").path) == 0o700
        assert mode(parent) == 0o711

    def test_a_place_where_no_folder_can_be_made_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(PlatformError, match=r"The folder .* cannot be made: File exists\."):
            Home(tmp_path / "file" / "home")


class TestLock:
    def test_a_second_supervisor_is_refused_and_told_who_runs(self, tmp_path: Path) -> None:
        first, second = Home(tmp_path), Home(tmp_path)
        first.lock()
        assert second.supervisor_pid() == os.getpid()
        with pytest.raises(PlatformError, match=f"already runs in .* \\(process {os.getpid()}\\)"):
            second.lock()
        first.unlock()
        assert second.supervisor_pid() is None
        second.lock()
        second.unlock()

    def test_a_killed_supervisor_holds_nothing(self, tmp_path: Path) -> None:
        program = """
import pathlib, sys, time
from scrip.home import Home
Home(pathlib.Path(sys.argv[1])).lock()
print("locked", flush=True)
time.sleep(60)
"""
        holder = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        home = Home(tmp_path)
        assert home.supervisor_pid() == holder.pid
        holder.kill()
        holder.wait()
        holder.stdout.close()
        home.lock()
        home.unlock()


class TestPorts:
    def test_a_port_is_kept_and_no_two_names_share_one(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        ports = {name: home.port(name) for name in ("kafka", "postgres", "gateway")}
        assert len(set(ports.values())) == 3
        assert {name: Home(tmp_path).port(name) for name in ports} == ports

    def test_a_preferred_port_is_taken_only_when_free(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            preferred = taken.getsockname()[1]
            assert Home(tmp_path).port("gateway", preferred) != preferred

    def test_a_preferred_port_lost_to_another_platform_while_starting_is_replaced(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        preferred = pick_free_port(taken=set())
        port = home.port("gateway", preferred)
        with socket.create_server(("127.0.0.1", port)):
            assert home.require_free("gateway", preferred) != port
            assert home.require_free("gateway", preferred) == home.port("gateway")

    def test_a_kept_port_that_somebody_took_is_one_sentence(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        port = home.port("gateway")
        with (
            socket.create_server(("127.0.0.1", port)),
            pytest.raises(PlatformError, match=rf"Port {port}, which .* gateway, is taken .*/ports\.json"),
        ):
            home.require_free("gateway")


class TestSecrets:
    def test_they_are_made_once_and_private(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        folder = ensure_secrets(home, "gateway")
        before = {file.name: file.read_text() for file in folder.iterdir()}
        assert {file.name: file.read_text() for file in ensure_secrets(Home(tmp_path), "gateway").iterdir()} == before
        assert mode(folder) == mode(home.secrets) == 0o700
        assert {mode(file) for file in home.secrets.rglob("*") if file.is_file()} == {0o600}

    def test_each_service_gets_only_what_it_may_know(self, tmp_path: Path) -> None:
        files = {
            service: {file.name for file in ensure_secrets(Home(tmp_path), service).iterdir()} for service in KNOWLEDGE
        }
        assert [service for service in files if "code-keys.json" in files[service]] == ["coupon_core"]
        assert [service for service in files if "admin-token" in files[service]] == ["gateway"]
        assert all("service-token" in names and "writers.json" in names for names in files.values())

    def test_services_that_share_a_key_share_the_same(self, tmp_path: Path) -> None:
        home = Home(tmp_path)
        assert (ensure_secrets(home, "gateway") / "kek.json").read_text() == (
            ensure_secrets(home, "merchant_adapter") / "kek.json"
        ).read_text()
