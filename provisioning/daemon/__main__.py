"""``python -m provisioning.daemon``: a daemon without database access."""

import sys

from provisioning.daemon.command_line import main

sys.exit(main())
