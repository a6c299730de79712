# SPDX-License-Identifier: MIT
"""Endpoint ids: every form is read, every bad key refused."""

from __future__ import annotations

import base64
import pickle

import pytest
from hypothesis import given
from tests.unit.documents.samples import key
from tests.unit.model.strategies import endpoint_ids

from blixard.errors import InputError
from blixard.model.ids import _SMALL_ORDER_Y, EndpointId

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
GOOD = key(1).public()


def encoded(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


def base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode().rstrip("=")


@given(endpoint_ids)
def test_every_form_of_an_id_is_read_as_the_same_id(good: EndpointId) -> None:
    forms = [good.base64, good.hex, good.hex.upper(), base32(good.raw), base32(good.raw).lower()]
    assert {EndpointId.parse(form) for form in forms} == {good}


def test_an_id_is_written_in_base64_for_files_and_in_hex_for_people() -> None:
    assert base64.b64decode(GOOD.base64) == GOOD.raw
    assert len(GOOD.base64) == 44
    assert str(GOOD) == GOOD.hex == GOOD.raw.hex()
    assert GOOD.short == GOOD.hex[:10]
    assert GOOD.hex in repr(GOOD)


def test_ids_are_ordered_by_their_bytes_and_can_be_pickled() -> None:
    ids = [key(number).public() for number in range(1, 8)]
    assert [one.raw for one in sorted(ids)] == sorted(one.raw for one in ids)
    assert pickle.loads(pickle.dumps(GOOD)) == GOOD
    assert EndpointId.from_bytes(GOOD.raw) == GOOD


def _x_squared(y: int) -> int:
    return (y * y - 1) * pow(D * y * y + 1, -1, P) % P


def _root(square: int) -> int | None:
    x = pow(square, (P + 3) // 8, P)
    for candidate in (x, x * pow(2, (P - 1) // 4, P) % P):
        if candidate * candidate % P == square:
            return candidate
    return None


def _add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def test_the_weak_keys_are_exactly_the_points_whose_order_divides_eight() -> None:
    points = set()
    for y in _SMALL_ORDER_Y:
        x = _root(_x_squared(y))
        assert x is not None
        points |= {(x, y), (-x % P, y)}
    assert len(points) == 8, "the curve has eight such points"
    for point in points:
        doubled = point
        for _ in range(3):
            doubled = _add(doubled, doubled)
        assert doubled == (0, 1)


# From the literature, apart from the code under test: the eight points, then the other ways to write two of them.
WEAK = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@pytest.mark.parametrize("digits", WEAK)
def test_weak_keys_are_refused_in_canonical_and_other_encodings(digits: str) -> None:
    for text in (digits, base64.b64encode(bytes.fromhex(digits)).decode()):
        with pytest.raises(InputError, match="weak key"):
            EndpointId.parse(text)


@pytest.mark.parametrize("y", range(2, 19))
@pytest.mark.parametrize("sign", [0, 1])
def test_keys_whose_y_is_not_reduced_are_refused(y: int, sign: int) -> None:
    with pytest.raises(InputError, match="canonical"):
        EndpointId.parse(encoded(y + P, sign).hex())


def test_keys_off_the_curve_are_refused() -> None:
    off = [y for y in range(2, 40) if _root(_x_squared(y)) is None]
    assert off
    for y in off:
        with pytest.raises(InputError, match="no point of the ed25519 curve"):
            EndpointId(encoded(y))


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_ids_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(InputError, match=f"{length} bytes long"):
        EndpointId.from_bytes(bytes(length))


@pytest.mark.parametrize("placeholder", ["base64-encoded-node-id", "another-base64-node-id", "YOUR-ID-HERE", "<id>"])
def test_a_placeholder_is_refused_with_what_to_put_there(placeholder: str) -> None:
    with pytest.raises(InputError, match=r"is a placeholder.*32 bytes.*blixard key show"):
        EndpointId.parse(placeholder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a",
        GOOD.base64.rstrip("="),
        GOOD.base64 + "=",
        GOOD.base64 + "\n",
        " " + GOOD.base64,
        GOOD.base64[:-2] + chr(ord(GOOD.base64[-2]) + 1) + "=",
        GOOD.base64[:20] + "\n" + GOOD.base64[20:],
        GOOD.hex[:-1],
        GOOD.hex + "\n",
        "0x" + GOOD.hex[2:],
        GOOD.hex[:-1] + "٣",
        base32(GOOD.raw) + "====",
        base32(GOOD.raw)[:-1] + "B",
        base32(GOOD.raw)[:26] + base32(GOOD.raw)[26:].lower(),
        base32(GOOD.raw)[:-1] + "ı",
        "\ud800" * 44,
        "é" * 44,
        "A" * 100_000,
    ],
    ids=repr,
)
def test_a_text_that_is_nearly_an_id_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        EndpointId.parse(text)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_base64_of_the_url_alphabet_is_refused() -> None:
    numbers = (number for number in range(1, 100) if "/" in key(number).public().base64)
    text = key(next(numbers)).public().base64
    with pytest.raises(InputError, match="is not an Iroh node id"):
        EndpointId.parse(text.replace("/", "_"))


def test_a_ticket_in_the_place_of_an_id_is_called_that() -> None:
    with pytest.raises(InputError, match="is a ticket"):
        EndpointId.parse("endpoint" + "a" * 60)


@pytest.mark.parametrize("value", [None, 1, True, 1.5, b"x", [], {}])
def test_a_value_that_is_no_string_is_refused_by_its_kind(value: object) -> None:
    with pytest.raises(InputError, match="must be a string, not"):
        EndpointId.parse(value)
