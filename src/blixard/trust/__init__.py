# SPDX-License-Identifier: MIT
"""Who may say what: keys, signatures, and the numbers that keep old ones from coming back.

- `keys`: `SecretKey`, `read_secret_key`, `create_secret_key`.
- `attestation`: a node signs its own entry; `key_announcement`: a node signs its next key.
- `peers_signature`: the fleet key signs the peers file; `manifest`: it signs the record; `signed_off`: the record held
  against both.
- `highest_seq`: the highest signature numbers seen, kept over restarts.
"""
