# SPDX-License-Identifier: MIT
"""The canonical form is RFC 8785's, the form on disk is the seed's."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from tests.unit.model.strategies import json_values

from blixard.documents.json_bytes import canonical_bytes, pretty_bytes, sha256_hex
from blixard.errors import InputError


def test_the_canonical_form_is_that_of_the_rfcs_example() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert canonical_bytes(value) == (
        b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@given(json_values)
def test_the_canonical_form_does_not_depend_on_the_order_of_members(value: Any) -> None:
    def turned(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: turned(part[name]) for name in reversed(part)}
        return [turned(item) for item in part] if isinstance(part, list) else part

    assert canonical_bytes(turned(value)) == canonical_bytes(value)


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {1: 2}, object()])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="no canonical form"):
        canonical_bytes([value])


def test_the_form_on_disk_is_indented_by_two_keeps_order_and_ends_in_a_newline() -> None:
    assert pretty_bytes({"b": [1], "a": "ä"}) == '{\n  "b": [\n    1\n  ],\n  "a": "ä"\n}\n'.encode()


@given(json_values)
def test_the_form_on_disk_reads_back(value: Any) -> None:
    assert json.loads(pretty_bytes(value)) == value


def test_digests_are_written_in_hex() -> None:
    assert sha256_hex(b"abc") == hashlib.sha256(b"abc").hexdigest()
