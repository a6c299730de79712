# SPDX-License-Identifier: MIT
"""A real S3 API on loopback (moto's server), with one empty bucket, as the environment of the process names it."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "fleet"
HOME = f"s3://{BUCKET}/prod"


@pytest.fixture(scope="session")
def _server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The bucket, as boto has it: what stands there is looked at past the code that is tested."""
    for name, value in {
        "AWS_ENDPOINT_URL": _server,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "hush-hush",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    made = boto3.resource("s3").Bucket(BUCKET)
    made.create()
    yield made
    made.objects.all().delete()
    made.delete()
