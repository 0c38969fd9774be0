import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as some

from coupon_core.codes import ff1
from tests.coupon_core.codes import ff1_standard

KEY_128 = "2B7E151628AED2A6ABF7158809CF4F3C"
KEY_192 = KEY_128 + "EF4359D8D580AA4F"
KEY_256 = KEY_192 + "7F036D6F04FC6A94"
DIGITS, LETTERS = "0123456789", "0123456789abcdefghijklmnopqrstuvwxyz"

# The nine samples NIST publishes for FF1 of SP 800-38G: key, alphabet, tweak, plaintext, ciphertext.
NIST_SAMPLES = [
    (KEY_128, DIGITS, "", "0123456789", "2433477484"),
    (KEY_128, DIGITS, "39383736353433323130", "0123456789", "6124200773"),
    (KEY_128, LETTERS, "3737373770717273373737", "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
    (KEY_192, DIGITS, "", "0123456789", "2830668132"),
    (KEY_192, DIGITS, "39383736353433323130", "0123456789", "2496655549"),
    (KEY_192, LETTERS, "3737373770717273373737", "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
    (KEY_256, DIGITS, "", "0123456789", "6657667009"),
    (KEY_256, DIGITS, "39383736353433323130", "0123456789", "1001623463"),
    (KEY_256, LETTERS, "3737373770717273373737", "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
]


class TestTheStandard:
    @pytest.mark.parametrize(("key", "alphabet", "tweak", "plaintext", "ciphertext"), NIST_SAMPLES)
    def test_each_sample_of_nist_is_met_both_ways(
        self, key: str, alphabet: str, tweak: str, plaintext: str, ciphertext: str
    ) -> None:
        clear = [alphabet.index(symbol) for symbol in plaintext]
        sealed = ff1_standard.encrypt(bytes.fromhex(key), len(alphabet), bytes.fromhex(tweak), clear)
        assert "".join(alphabet[numeral] for numeral in sealed) == ciphertext
        assert ff1_standard.decrypt(bytes.fromhex(key), len(alphabet), bytes.fromhex(tweak), sealed) == clear

    @given(some.integers(2, 1 << 16), some.binary(max_size=40), some.data())
    def test_decrypting_undoes_encrypting_for_any_radix_and_length(
        self, radix: int, tweak: bytes, data: some.DataObject
    ) -> None:
        shortest = next(length for length in range(2, 21) if radix**length >= 1_000_000)
        numerals = data.draw(some.lists(some.integers(0, radix - 1), min_size=shortest, max_size=60))
        sealed = ff1_standard.encrypt(b"k" * 16, radix, tweak, numerals)
        assert all(0 <= numeral < radix for numeral in sealed)
        assert ff1_standard.decrypt(b"k" * 16, radix, tweak, sealed) == numerals

    @pytest.mark.parametrize(
        ("radix", "numerals"),
        [(1, [0] * 30), ((1 << 16) + 1, [0, 0]), (10, [0] * 5), (10, [10] * 8), (10, [-1] * 8)],
    )
    def test_what_the_standard_does_not_allow_is_refused(self, radix: int, numerals: list[int]) -> None:
        with pytest.raises(ValueError, match=r"radix|numeral"):
            ff1_standard.encrypt(b"k" * 16, radix, b"", numerals)


def numerals_of(number: int) -> list[int]:
    return [number >> 5 * place & 31 for place in reversed(range(11))]


def digits_of(number: int, bits: int) -> list[int]:
    return [number >> place & 1 for place in reversed(range(bits))]


class TestPermutation:
    @given(
        some.binary(min_size=32, max_size=32),
        some.binary(min_size=11, max_size=11),
        some.integers(0, 2**55 - 1),
    )
    def test_is_ff1_of_radix_32_and_11_numerals(self, key: bytes, tweak: bytes, number: int) -> None:
        permutation = ff1.Permutation.of_serials(key, tweak)
        sealed = permutation.encrypt(number)
        assert numerals_of(sealed) == ff1_standard.encrypt(key, 32, tweak, numerals_of(number))
        assert permutation.decrypt(sealed) == number

    @given(some.lists(some.integers(0, 2**55 - 1), max_size=20))
    def test_gives_the_same_for_arrays_as_for_single_numbers(self, numbers: list[int]) -> None:
        permutation = ff1.Permutation.of_serials(bytes(range(32)), b"eleven byte")
        sealed = permutation.encrypt_all(numpy.array(numbers, dtype=numpy.uint64))
        assert sealed.tolist() == [permutation.encrypt(number) for number in numbers]
        assert permutation.decrypt_all(sealed).tolist() == numbers

    @pytest.mark.parametrize("count", [ff1.CHUNK - 1, ff1.CHUNK, ff1.CHUNK + 1, 2 * ff1.CHUNK + 7])
    def test_gives_the_same_across_the_borders_of_chunks(self, count: int) -> None:
        permutation = ff1.Permutation.of_serials(bytes(range(32)), b"eleven byte")
        numbers = numpy.random.default_rng(count).integers(0, 1 << 55, count, dtype=numpy.uint64)
        sealed = permutation.encrypt_all(numbers)
        for place in (0, count // 2, ff1.CHUNK - 2, count - 2, count - 1):
            assert sealed[place] == permutation.encrypt(int(numbers[place]))
        assert (permutation.decrypt_all(sealed) == numbers).all()
        assert len(numpy.unique(sealed)) == count

    @given(
        some.binary(min_size=32, max_size=32),
        some.binary(min_size=16, max_size=16),
        some.integers(ff1.FEWEST_BITS, ff1.MOST_BITS),
        some.data(),
    )
    def test_of_bits_is_ff1_of_radix_2(self, key: bytes, tweak: bytes, bits: int, data: some.DataObject) -> None:
        permutation = ff1.Permutation.of_bits(key, tweak, bits)
        numbers = data.draw(some.lists(some.integers(0, (1 << bits) - 1), min_size=1, max_size=5))
        for number in numbers:
            sealed = permutation.encrypt(number)
            assert digits_of(sealed, bits) == ff1_standard.encrypt(key, 2, tweak, digits_of(number, bits))
            assert permutation.decrypt(sealed) == number
        array = permutation.encrypt_all(numpy.array(numbers, dtype=numpy.uint64))
        assert array.tolist() == [permutation.encrypt(number) for number in numbers]
        assert permutation.decrypt_all(array).tolist() == numbers

    @pytest.mark.parametrize(("tweak", "bits"), [(b"t" * 16, 19), (b"t" * 16, 65), (b"t" * 11, 40)])
    def test_of_bits_takes_20_to_64_bits_and_a_tweak_of_16_bytes(self, tweak: bytes, bits: int) -> None:
        with pytest.raises(ValueError, match="bytes"):
            ff1.Permutation.of_bits(b"k" * 32, tweak, bits)

    def test_needs_a_key_of_32_and_a_tweak_of_11_bytes(self) -> None:
        for key, tweak in ((b"k" * 16, b"t" * 11), (b"k" * 32, b"t" * 10)):
            with pytest.raises(ValueError, match="bytes"):
                ff1.Permutation.of_serials(key, tweak)
