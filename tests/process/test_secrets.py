import pytest
from hypothesis import given
from hypothesis import strategies as some

from process.secrets import SealBroken, key_id_of, open_sealed, reseal, seal

OLD, NEW = b"o" * 32, b"n" * 32


@given(some.binary(max_size=200), some.binary(max_size=50))
def test_a_sealed_secret_opens_in_its_context(plaintext: bytes, context: bytes) -> None:
    sealed = seal(7, OLD, plaintext, context)
    assert open_sealed(sealed, {7: OLD}, context) == plaintext


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert seal(1, OLD, b"secret", b"") != seal(1, OLD, b"secret", b"")


def test_a_sealed_secret_does_not_open_in_another_context() -> None:
    with pytest.raises(SealBroken, match="another context"):
        open_sealed(seal(1, OLD, b"secret", b"merchant-a"), {1: OLD}, b"merchant-b")


def test_any_changed_symbol_breaks_the_seal() -> None:
    sealed = seal(1, OLD, b"secret", b"context")
    # Not the last symbol: it holds bits that base64 leaves unused.
    for place in range(len(sealed) - 1):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(SealBroken):
            open_sealed(changed, {1: OLD, 2: NEW}, b"context")


def test_a_key_id_exchanged_for_another_breaks_the_seal() -> None:
    _, _, body = seal(1, OLD, b"secret", b"").split(".")
    with pytest.raises(SealBroken):
        open_sealed(f"1.2.{body}", {1: OLD, 2: OLD}, b"")


@pytest.mark.parametrize("text", ["", "1.1", "2.1.AAAA", "1.x.AAAA", "1.1.AAAA", "1.1.~~~~", "1.²." + "A" * 60])
def test_what_is_no_sealed_secret_is_refused(text: str) -> None:
    with pytest.raises(SealBroken):
        open_sealed(text, {1: OLD}, b"")


def test_a_key_we_do_not_hold_is_named_by_its_id() -> None:
    with pytest.raises(SealBroken, match="key 3"):
        open_sealed(seal(3, OLD, b"secret", b""), {1: OLD}, b"")


def test_rotation_reseals_under_the_new_key_and_may_be_repeated() -> None:
    keys = {1: OLD, 2: NEW}
    sealed = seal(1, OLD, b"secret", b"context")
    rotated = reseal(sealed, 2, keys, b"context")
    assert key_id_of(rotated) == 2
    assert open_sealed(rotated, {2: NEW}, b"context") == b"secret"
    assert reseal(rotated, 2, keys, b"context") == rotated
