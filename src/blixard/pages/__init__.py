# SPDX-License-Identifier: MIT
"""Pages for people, each one self-contained HTML file: no network, no foreign script, a strict content security policy.

- `document`: a page put together from its style, script and data, so that no text of a host's can leave its place.
- `mesh`: what a connectivity report says, worst first: nodes, edges, findings, the verdict; `changes`: what is
  different from an earlier report.
- `mesh_page`: the page of a report; `node_page`: the page of one running node.

`assets` has the style and the scripts, by hand and without a framework.
"""
