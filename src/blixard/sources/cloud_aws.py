# SPDX-License-Identifier: MIT
"""AWS: this machine's tags and user data from its metadata service (IMDSv2), and EC2 instances with a tag.

`AWS_EC2_METADATA_SERVICE_ENDPOINT` (and `…_MODE`), `AWS_ENDPOINT_URL_EC2` and `AWS_ENDPOINT_URL` say where the two are,
as for AWS's own tools.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from blixard.errors import InputError
from blixard.sources.cloud import SEEDS, Instance, Own, parts_of
from blixard.sources.cloud_services import Service, all_pages, checked_token, object_of, own_tags, query, texts

if TYPE_CHECKING:
    from blixard.sources.cloud import CloudLocation

_METADATA = "http://169.254.169.254"
_METADATA_V6 = "http://[fd00:ec2::254]"
_TOKEN_SECONDS = "60"  # noqa: S105 # for how long IMDS takes the token that it gives
_TAGS = "/latest/meta-data/tags/instance"
_ROLE = "/latest/meta-data/iam/security-credentials"
_API_VERSION = "2016-11-15"
_PAGE_SIZE = "1000"
_REGION = re.compile(r"[a-z0-9-]{1,32}")

_CLOSED = (
    "its tags are not in its metadata, and its user data names no seeds; allow them with `aws ec2 "
    "modify-instance-metadata-options --instance-metadata-tags enabled`"
)
_REFUSED = "give the role the permission ec2:DescribeInstances"
_NO_CREDENTIALS = (
    "give the instance a role that allows ec2:DescribeInstances, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)


class Aws:
    """AWS as `cloud.Cloud`. Credentials are looked for where botocore does, then at the instance's role."""

    def __init__(self, *, metadata: str | None = None) -> None:
        """`metadata`: URL of the metadata service; None for the one that AWS's variables name, or the usual one."""
        self._metadata_url = metadata

    def own(self) -> Own:
        """Ask the metadata service, as `Cloud.own`."""
        metadata = self._metadata()
        names = metadata.ask_whether(f"{_TAGS}/")
        listed = names.body.decode("utf-8", "replace").split() if names else []
        tags = {name: _text(metadata, f"{_TAGS}/{name}") for name in parts_of(SEEDS) if name in listed}
        return Own(tags, _text(metadata, "/latest/user-data"), "" if names else _CLOSED)

    def instances(self, location: CloudLocation) -> Iterable[Instance]:
        """Ask EC2, as `Cloud.instances`."""
        metadata = functools.cache(self._metadata)  # asked only for what nothing else says
        with _botocore() as session:
            region = location.options.get("region") or session.get_config_variable("region")
            region = region or _text(metadata(), "/latest/meta-data/placement/region")
            if not _REGION.fullmatch(region):
                raise InputError("the region is not known", mend="add &region=… to the location")
            credentials = session.get_credentials() or _of_role(metadata())
            credentials = credentials.get_frozen_credentials()
            endpoint = _endpoint(session, region)
        ec2 = Service.of_api(endpoint, "EC2", refused=_REFUSED)

        def ask(token: str | None) -> tuple[list[Instance], str | None]:
            path = query("/", _arguments(location, token))
            headers = _signed(endpoint + path, credentials, region)
            signed = replace(ec2, authorization=headers.pop("Authorization"), headers=headers)
            return parse_ec2(signed.ask(path).body)

        return all_pages(ask)

    def _metadata(self) -> Service:
        """Return the metadata service with a token of version 2; version 1 is never asked."""
        service = Service.of_metadata(
            self._metadata_url or _metadata_url(),
            "AWS",
            mend=" For one in a container, set the hop limit to 2",
            refused="allow the metadata service, with IMDSv2, for this instance",
            headers={},
        )
        reply = service.ask(
            "/latest/api/token",
            headers={"X-aws-ec2-metadata-token-ttl-seconds": _TOKEN_SECONDS},
            method="PUT",
        )
        return replace(service, headers={"X-aws-ec2-metadata-token": service.token(reply)})


def _metadata_url() -> str:
    is_v6 = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
    return os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or (_METADATA_V6 if is_v6 else _METADATA)


def _text(metadata: Service, path: str) -> str:
    """Return what the metadata have at a path; empty for nothing."""
    reply = metadata.ask_whether(path)
    return "" if reply is None else reply.body.decode("utf-8", "replace")


def _of_role(metadata: Service) -> Any:
    """Return the credentials of the role that this instance has."""
    listed = metadata.ask_whether(f"{_ROLE}/")
    if listed is None:
        raise InputError("there are no credentials", mend=_NO_CREDENTIALS)
    role = urllib.parse.quote(metadata.token(listed), safe="")
    given = object_of(metadata.ask(f"{_ROLE}/{role}").body, "the credentials of the role")
    parts = (checked_token(given.get(name), metadata.what) for name in ("AccessKeyId", "SecretAccessKey", "Token"))
    return importlib.import_module("botocore.credentials").Credentials(*parts)


@contextlib.contextmanager
def _botocore() -> Iterator[Any]:
    """Give a session of botocore that looks for credentials in all places but the metadata.

    botocore itself would ask the metadata through proxies of the environment, and without a token if it gets none.
    """
    try:
        errors = importlib.import_module("botocore.exceptions")
        session = importlib.import_module("botocore.session").Session()
    except ImportError:
        reason = "needs a package that is not installed"
        raise InputError(reason, mend="pip install 'blixard[aws]'") from None
    try:
        session.get_component("credential_provider").remove("iam-role")
        yield session
    except errors.BotoCoreError as error:
        # Its own words may have in them what a program for credentials wrote.
        raise InputError(f"botocore finds no credentials: {type(error).__name__}", mend=_NO_CREDENTIALS) from None


def _endpoint(session: Any, region: str) -> str:
    own = os.environ.get("AWS_ENDPOINT_URL_EC2") or os.environ.get("AWS_ENDPOINT_URL")
    if own:
        return own.rstrip("/")
    found = session.get_component("endpoint_resolver").construct_endpoint("ec2", region)
    return f"https://{found['hostname']}"


def _arguments(location: CloudLocation, token: str | None) -> dict[str, str]:
    assert location.tag is not None  # noqa: S101 # a location without one asks for nothing here
    key, value = location.tag
    # A filter takes * and ? for wildcards.
    value = re.sub(r"([*?\\])", r"\\\1", value)
    arguments = {
        "Action": "DescribeInstances",
        "Version": _API_VERSION,
        "Filter.1.Name": f"tag:{key}",
        "Filter.1.Value.1": value,
        "Filter.2.Name": "instance-state-name",
        "Filter.2.Value.1": "running",
        "MaxResults": _PAGE_SIZE,
    }
    return arguments if token is None else {**arguments, "NextToken": token}


def _signed(url: str, credentials: Any, region: str) -> dict[str, str]:
    """Return the headers that sign a GET of `url`."""
    request = importlib.import_module("botocore.awsrequest").AWSRequest("GET", url)
    importlib.import_module("botocore.auth").SigV4Auth(credentials, "ec2", region).add_auth(request)
    return dict(request.headers.items())


def parse_ec2(body: bytes) -> tuple[list[Instance], str | None]:
    """Read an answer of EC2's DescribeInstances.

    Raises:
        InputError: it is something else.
    """
    try:
        text = body.decode("utf-8")
        if "<!" in text or "\0" in text:
            # Without a document type there are no entities that could grow.
            raise InputError("EC2 answers with something that is not its list of instances")
        root = ElementTree.fromstring(text)  # noqa: S314 # see above
    except (UnicodeDecodeError, ElementTree.ParseError):
        raise InputError("EC2 answers with something that is not XML") from None
    if root.tag.rpartition("}")[2] != "DescribeInstancesResponse":
        raise InputError("EC2 answers with something that is not its list of instances")
    found = root.iterfind("{*}reservationSet/{*}item/{*}instancesSet/{*}item")
    return [_instance(each) for each in found], root.findtext("{*}nextToken") or None


def _instance(element: ElementTree.Element) -> Instance:
    def all_at(*paths: str) -> tuple[str, ...]:
        return texts(each.text for path in paths for each in element.iterfind(path))

    pairs = ((tag.findtext("{*}key"), tag.findtext("{*}value")) for tag in element.iterfind("{*}tagSet/{*}item"))
    interface = "{*}networkInterfaceSet/{*}item"
    private = all_at(
        "{*}privateIpAddress",
        f"{interface}/{{*}}privateIpAddress",
        f"{interface}/{{*}}ipv6AddressesSet/{{*}}item/{{*}}ipv6Address",
    )
    public = all_at("{*}ipAddress", f"{interface}/{{*}}association/{{*}}publicIp")
    return Instance(element.findtext("{*}instanceId") or "an instance", own_tags(pairs), private, public)
