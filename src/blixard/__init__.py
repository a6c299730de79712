# SPDX-License-Identifier: MIT
"""Node discovery for Blixard clusters over Iroh.

Nothing is imported here: `import blixard.agent.control_client` on a host must stay cheap.
"""

import os

# With RUST_BACKTRACE set, every error that iroh returns carries a backtrace, and resolving one takes 0.4 s: a bad
# signature or a dead address would cost that each time. Panics still show theirs.
os.environ.setdefault("RUST_LIB_BACKTRACE", "0")

__version__ = "0.1.0"
