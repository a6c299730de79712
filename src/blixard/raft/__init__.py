# SPDX-License-Identifier: MIT
"""Raft over the mesh: what any engine needs, and one engine.

`voters` is the arithmetic of majorities. `formation` decides when a node forms a cluster or joins one, before Raft
starts. `codec` reads and writes the frames that voters exchange; `links` keeps one stream to each voter, over the
connections that discovery made; `health` says who is alive. `registry_machine` is what is replicated: the fleet's
registry. `storage` is the folder on the disk, with `journal` in it. `append_guard` mends what the engine does with
entries that it has already. `engine` is the one file that imports pysyncobj. `service` puts all this together, and is
what a node starts; `operations` is what can be asked of it.
"""
