import base64
import json
from pathlib import Path

import pytest

from process.settings import Secrets, SecretUnreadable, ServiceSettings, read_settings

KEY = b"k" * 32
KEY_TEXT = base64.b64encode(KEY).decode()


def an_environment(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    defaults = {
        "DATABASE_URL": "postgresql://core:hunter2@127.0.0.1/scrip",
        "KAFKA_BOOTSTRAP": "127.0.0.1:9092",
        "HTTP_PORT": "8081",
        "SECRETS_DIR": "/somewhere",
    }
    for name, value in (defaults | values).items():
        monkeypatch.setenv(f"SCRIP_{name}", value)


class TestSettings:
    def test_come_from_the_environment_with_stated_defaults(self, monkeypatch: pytest.MonkeyPatch) -> None:
        an_environment(monkeypatch, PARTITIONS="8", PROFILE="local")
        settings = read_settings(ServiceSettings)
        assert (settings.partitions, settings.http_host, settings.http_port) == (8, "127.0.0.1", 8081)
        assert settings.core_url is None
        assert settings.linger_seconds == 0

    def test_show_no_password_when_printed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        an_environment(monkeypatch)
        assert "hunter2" not in repr(read_settings(ServiceSettings))

    def test_end_the_process_with_a_line_for_each_missing_or_wrong_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        an_environment(monkeypatch, HTTP_PORT="hunter2", PROFILE="staging")
        monkeypatch.delenv("SCRIP_KAFKA_BOOTSTRAP")
        with pytest.raises(SystemExit) as ended:
            read_settings(ServiceSettings)
        sentence = str(ended.value)
        for name in ("SCRIP_HTTP_PORT", "SCRIP_PROFILE", "SCRIP_KAFKA_BOOTSTRAP"):
            assert name in sentence
        assert "hunter2" not in sentence

    def test_every_field_says_what_it_is(self) -> None:
        assert [name for name, field in ServiceSettings.model_fields.items() if not field.description] == []


class TestSecrets:
    def test_are_read_from_the_files_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "writers.json").write_text(json.dumps({"core": {"1": KEY_TEXT, "2": KEY_TEXT}}))
        (tmp_path / "tool-master.key").write_text(KEY_TEXT + "\n")
        (tmp_path / "kek.json").write_text(json.dumps({"1": KEY_TEXT}))
        (tmp_path / "code-keys.json").write_text(json.dumps({"1": KEY_TEXT}))
        (tmp_path / "service-token").write_text("a-token\n")
        secrets = Secrets(tmp_path)
        assert secrets.writer_keys() == {"core": {1: KEY, 2: KEY}}
        assert secrets.tool_master() == KEY
        assert secrets.key_encryption_keys() == secrets.code_keys() == {1: KEY}
        assert secrets.service_token() == "a-token"

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SecretUnreadable, match=r"admin-token does not exist; SCRIP_SECRETS_DIR"):
            Secrets(tmp_path).admin_token()

    @pytest.mark.parametrize(
        "content",
        ["", "no JSON", "[]", '{"1": 5}', '{"1": "c2hvcnQ="}', f'{{"one": "{KEY_TEXT}"}}', '{"1": "é"}'],
    )
    def test_a_wrong_file_is_refused_without_showing_it(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "kek.json").write_text(content)
        with pytest.raises(SecretUnreadable, match=r"kek\.json") as refused:
            Secrets(tmp_path).key_encryption_keys()
        assert KEY_TEXT not in str(refused.value)

    def test_writers_must_map_to_keys(self, tmp_path: Path) -> None:
        (tmp_path / "writers.json").write_text('{"core": "x"}')
        with pytest.raises(SecretUnreadable, match="each writer"):
            Secrets(tmp_path).writer_keys()
