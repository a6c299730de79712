# SPDX-License-Identifier: MIT
"""All other packages that a host's end uses. Imported for that alone, before root becomes a node's account.

They are imported where they are first used, as a rule; the account may not see where root has its packages.
"""

from __future__ import annotations

import codecs

import ifaddr as ifaddr
import iroh as iroh
import rfc8785 as rfc8785

from blixard.model import bindings as bindings

codecs.lookup("utf-16be")  # which rfc8785 sorts by, and which Python imports at its first use
