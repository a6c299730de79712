# SPDX-License-Identifier: MIT
"""Bytes on their way into iroh."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from iroh import iroh_ffi

from blixard.model import bindings
from blixard.trust.keys import SecretKey

KEY = bytes(range(32))


@given(st.binary(max_size=5000))
def test_iroh_gets_every_byte_that_it_is_given(data: bytes) -> None:
    # The signature of ed25519 is a function of key and data, so another library's is the same.
    assert SecretKey(KEY).sign(data) == Ed25519PrivateKey.from_private_bytes(KEY).sign(data)


def test_bytes_go_into_these_bindings_at_once() -> None:
    assert iroh_ffi._UniffiRustBufferBuilder.write is bindings._write
