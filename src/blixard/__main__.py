# SPDX-License-Identifier: MIT
"""`python -m blixard`."""

import sys

from blixard.cli.main import main

sys.exit(main())
