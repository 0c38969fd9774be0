import pytest

from contracts.writers import VECTOR, UnsignedWriterError, Writer, mac, sign, tool_key, verify

KEY = bytes(range(32))
GATEWAY = Writer("gateway", 3, KEY)
KEYS = {"gateway": {2: b"old" * 11, 3: KEY}}
MASTER = b"m" * 32


def test_the_vector_holds() -> None:
    assert mac(KEY, "coupon.commands", b"k", b"{}") == VECTOR
    assert sign(Writer("gateway", 1, KEY), "coupon.commands", b"k", b"{}") == f"gateway;k=1;v1={VECTOR}".encode()


def test_a_signature_names_its_writer_and_key_version() -> None:
    assert verify(sign(GATEWAY, "t", b"k", b"v"), "t", b"k", b"v", KEYS, None) == ("gateway", 3)


def test_an_older_key_stays_verifiable() -> None:
    old = Writer("gateway", 2, KEYS["gateway"][2])
    assert verify(sign(old, "t", b"k", b"v"), "t", b"k", b"v", KEYS, None) == ("gateway", 2)


def test_a_tools_key_follows_from_the_master_key_its_name_and_version() -> None:
    tool = Writer("tool:print-shop", 2, tool_key(MASTER, "print-shop", 2))
    assert tool.key.hex() == "45625918530ea6e799172798437e9374948bb1130de658ec65896a04fedcba5b"
    assert verify(sign(tool, "t", b"k", b"v"), "t", b"k", b"v", {}, MASTER) == ("tool:print-shop", 2)
    assert tool.key not in (tool_key(MASTER, "print-shop", 1), tool_key(MASTER, "print-sho", 2))


@pytest.mark.parametrize(
    ("topic", "key", "value"),
    [("u", b"k", b"v"), ("t", b"x", b"v"), ("t", b"k", b"w"), ("t", b"k\nv", b""), ("t", b"", b"k\nv")],
)
def test_a_signature_does_not_pass_for_another_record(topic: str, key: bytes, value: bytes) -> None:
    with pytest.raises(UnsignedWriterError):
        verify(sign(GATEWAY, "t", b"k", b"v"), topic, key, value, KEYS, MASTER)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"gateway",
        b"gateway;k=3",
        b"gateway;k=three;v1=00",
        b"gateway;k=3;v1=",
        b"gateway;k=3;v1=00;v2=00",
        b"gateway;k=4;v1=" + b"0" * 64,
        b"nobody;k=3;v1=" + b"0" * 64,
        b"tool:print-shop;k=1;v1=" + b"0" * 64,
        b"tool:;k=1;v1=" + b"0" * 64,
        "gätewäy;k=3;v1=00".encode(),
        b"\xff\x00",
        b"gateway;k=" + b"9" * 5_000 + b";v1=00",
        b"\x01" * 900_000 + b";k=1;v1=00",
    ],
)
def test_anything_else_is_an_unsigned_writer(header: bytes | None) -> None:
    with pytest.raises(UnsignedWriterError) as refused:
        verify(header, "t", b"k", b"v", KEYS, MASTER)
    assert len(str(refused.value)) < 500, "a stranger's name fills no dead letter"


def test_no_tool_is_known_without_the_master_key() -> None:
    tool = Writer("tool:print-shop", 1, tool_key(MASTER, "print-shop", 1))
    with pytest.raises(UnsignedWriterError):
        verify(sign(tool, "t", b"k", b"v"), "t", b"k", b"v", KEYS, None)
