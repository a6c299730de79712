# Copyright: (c) 2026, Blixard Fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing this fails in one line that says what to run, unless the controller has the package in the right version.

Every action and filter plugin imports it before it imports the package.
"""

from __future__ import annotations

from importlib.util import find_spec

from ansible.errors import AnsibleError
from ansible_collections.blixard.fleet.plugins.module_utils.package import VERSION, found, to_install

if found() != VERSION or not find_spec("jsonschema"):
    raise AnsibleError(to_install("on the controller", "[controller]"))
