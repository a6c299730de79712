# SPDX-License-Identifier: MIT
"""The API of Azure's blobs on loopback (Azurite, from the npm registry), as the environment of the process names it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest
from tests.integration.nodes import eventually
from tests.ports import free_port

CONTAINER = "fleet"
HOME = f"abfs://{CONTAINER}/prod"

FOLDER = Path(__file__).parents[2] / ".cache" / "azurite"
"""Where tools/make-services puts it."""

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""That of Azurite's one account, which is the same everywhere."""


def program() -> list[str]:
    """Return how it is called; skips where it is not there. A CI without it fails."""
    script, node = FOLDER / "node_modules/azurite/dist/src/blob/main.js", shutil.which("node")
    if node is None or not script.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("needs node, and Azurite of the npm registry, see tools/make-services", pytrace=False)
        pytest.skip("needs node, and Azurite of the npm registry, see tools/make-services")
    return [node, str(script)]


@contextmanager
def running_azurite(folder: Path) -> Iterator[str]:
    """Give a connection string for a server of its own, which is ended at the end of the block."""
    port, log = free_port(), folder / "azurite.log"
    options = ["--inMemoryPersistence", "--disableTelemetry", "--silent", "--blobPort", str(port)]
    # An SDK that is newer than it asks for a version of the API that it does not know yet.
    command = [*program(), *options, "--blobHost", "127.0.0.1", "--skipApiVersionCheck"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    try:
        eventually(lambda: "successfully listens" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        account = "devstoreaccount1"
        yield (
            f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={KEY};"
            f"BlobEndpoint=http://127.0.0.1:{port}/{account};"
        )
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def container(connection: str, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have one empty container there, which is where adlfs goes."""
    patch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    store = fsspec.filesystem("abfs", skip_instance_cache=True)
    store.mkdir(CONTAINER)
    yield
    store.rmdir(CONTAINER)
