# SPDX-License-Identifier: MIT
"""Google Cloud Storage's API on loopback (gcp-storage-emulator), with one empty bucket, as the environment names it.

It knows no conditions such as `ifGenerationMatch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import pytest
from gcp_storage_emulator.server import create_server

BUCKET = "fleet"
HOME = f"gs://{BUCKET}/prod"


@contextmanager
def running_gcs() -> Iterator[Any]:
    """Give a server of its own, which is ended at the end of the block."""
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=BUCKET)
    server.start()
    yield server
    server.stop()


@contextmanager
def bucket(server: Any, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the one bucket there, empty, which is where gcsfs goes."""
    host, port = server._api._httpd.server_address
    patch.setenv("STORAGE_EMULATOR_HOST", f"http://{host}:{port}")
    # Else it looks for a metadata server with credentials, and asks Google over gRPC for the kind of the bucket.
    patch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    yield
    server.wipe(keep_buckets=True)
