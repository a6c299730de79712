# SPDX-License-Identifier: MIT
"""The role takes the hosts as the inventory plugins of three clouds give them, by what the examples compose of it.

Neither the plugins nor the clouds run here: the hosts have the variables that each plugin documents for an instance,
and Ansible's own `constructed`, which the three are built on, evaluates the expressions of the examples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from tests.ansible.conftest import NewFleet
from tests.ansible.fleet import PROJECT

EXAMPLES = PROJECT / "inventories" / "cloud"

# Of each plugin: an instance as its documentation has it, shortened.
AWS: dict[str, Any] = {
    "instance_id": "i-0a1b2c3d4e5f60718",
    "private_ip_address": "10.0.0.1",
    "public_ip_address": "203.0.113.1",
    "placement": {"availability_zone": "eu-central-1a", "region": "eu-central-1"},
    "state": {"code": 16, "name": "running"},
    "tags": {"Name": "aws1", "blixard-cluster": "example", "blixard-node-id": "1"},
    "network_interfaces": [{"private_ip_address": "10.0.0.1", "ipv6_addresses": []}],
}
GCP: dict[str, Any] = {
    "id": "7114036871241463110",
    "name": "gcp2",
    "status": "RUNNING",
    "zone": "europe-west3-a",
    "project": "our-project",
    "labels": {"blixard-cluster": "example", "blixard-node-id": "2"},
    "tags": {"fingerprint": "42WmSpB8rSM="},
    "metadata": {"user-data": "#cloud-config"},
    "networkInterfaces": [{"networkIP": "10.0.0.2", "accessConfigs": [{"natIP": "203.0.113.2"}]}],
}
AZURE: dict[str, Any] = {
    "id": "/subscriptions/s/resourceGroups/fleet/providers/Microsoft.Compute/virtualMachines/azure3",
    "name": "azure3",
    "powerstate": "running",
    "private_ipv4_addresses": ["10.0.0.3"],
    "public_ipv4_address": [],
    "tags": {"blixard-cluster": "example", "blixard-node-id": "3"},
}
# It has the tag of the cluster, and is not a node.
OTHER: dict[str, Any] = {**AWS, "tags": {"Name": "bastion", "blixard-cluster": "example"}}


def composed(name: str, folder: Path) -> Path:
    """Write what an example composes of a host's variables as an inventory of its own, and return its file."""
    example = yaml.safe_load((EXAMPLES / name).read_text())
    path = folder / f"composed-{name}"
    path.write_text(
        yaml.safe_dump(
            {
                "plugin": "ansible.builtin.constructed",
                "strict": False,
                "compose": example.get("compose") or example["hostvar_expressions"],
                "groups": example.get("groups") or example["conditional_groups"],
            }
        )
    )
    return path


def test_machines_that_three_clouds_list_become_one_fleet(new_fleet: NewFleet) -> None:
    fleet = new_fleet(3)
    binds = [host["blixard_bind"] for host in fleet.hosts.values()]
    listed = {"aws1": AWS, "gcp2": GCP, "azure3": AZURE, "bastion": OTHER}
    hosts = {name: dict(said) for name, said in listed.items()}
    for said, bind in zip(hosts.values(), binds, strict=False):
        said["blixard_bind"] = bind
    as_listed = fleet.root / "listed.yml"
    as_listed.write_text(yaml.safe_dump({"all": {"vars": fleet.group, "hosts": hosts}}))
    examples = [composed(f"{name}.yml", fleet.root) for name in ("aws_ec2", "gcp_compute", "azure_rm")]

    run = fleet.play("site", sources=(as_listed, *examples))

    assert run.code == 0, run.output
    assert run.changed.keys() >= {"aws1", "gcp2", "azure3"}
    assert "bastion" not in run.changed
    nodes = {node["name"]: node["node_id"] for node in fleet.report()["nodes"]}
    assert nodes == {"aws1": 1, "gcp2": 2, "azure3": 3}
    assert fleet.report()["summary"]["reached"] == 6
    assert sum(fleet.play("site", sources=(as_listed, *examples)).changed.values()) == 0
