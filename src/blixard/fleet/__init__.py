# SPDX-License-Identifier: MIT
"""What the Ansible content decides and computes, apart from Ansible: seeing a host, planning, reporting."""
