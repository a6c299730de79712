# SPDX-License-Identifier: MIT
"""Where peers come from: one file a source, behind `base.Source`.

- `base`: `Source`, the three answers `Found`, `Nothing` and `Failed`, `Sighting`, and what sources need from outside.
- The sources: `static_file`, `registry_files`, `http_document`, `remote_files` (fsspec), `dns` (dnspython),
  `node_locations` (a ticket or `host:port`), `etcd` with its `etcd_client` and `etcd_watch`.
- `file_systems`, `sftp`: fsspec's file systems, and its SFTP with a known host key.
- `cloud`: seeds and tagged instances that a cloud names, with `cloud_aws`, `cloud_gcp` and `cloud_azure` for what each
  of them says, and `cloud_services` for how they are asked.
- `mdns`: nodes on this host's links, with `mdns_records` (what is announced), `mdns_iroh` (what iroh announces) and
  `mdns_links` (sockets and networks).
- `factory`: from a configuration to sources.
- `registry_reader`, `peers_reader`, `document_reader`: from bytes to sightings.
- `dns_records`, `dns_client`: the text of records about nodes, and one question to a DNS server.
- `snapshots`: the last good peers file of each source, for a restart.
- `http_client`, `urls`, `file_stamps`, `worker`: one request, URLs as people may see them, unchanged files,
  blocking work.
"""
