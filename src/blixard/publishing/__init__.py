# SPDX-License-Identifier: MIT
"""Where a fleet's record and peers file are put for nodes and other controllers to read: one file a kind of place.

- `base`: `Destination`, a `Publication`, its `Outcome`, and the rules that hold at every place: what is newer, and what
  differs.
- `store`: a folder, and what fsspec writes to (S3, SFTP, Google Cloud Storage, Azure), over `shelves`, which replace
  each file as safely as the place can.
- `etcd`: a prefix in etcd; `etcd_locks`: one publication at a time there, and one run;
  `etcd_leases`: keys that go when nobody renews them, and those of nodes that run; `pull`: the record from there,
  for several controllers of one fleet.
- `dns`: a zone file, and a zone that takes updates, with the records that `dns_zone` makes of the peers.
- `factory`: from a location to its destination, and one publication to several of them.
"""
