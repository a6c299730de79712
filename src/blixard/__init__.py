# SPDX-License-Identifier: MIT
"""Node discovery for Blixard clusters over Iroh.

Nothing is imported here: `import blixard.agent.client` on a host must stay cheap.
"""

__version__ = "0.1.0"
