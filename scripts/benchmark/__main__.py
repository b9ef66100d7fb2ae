"""scripts/bench runs this."""

import signal
import subprocess
import sys

from .cli import main

try:
    sys.exit(main(sys.argv[1:]))
except KeyboardInterrupt:  # before there was anything to clean up
    print("bench: ended by SIGINT", file=sys.stderr)
    sys.exit(128 + signal.SIGINT)
except (OSError, subprocess.SubprocessError) as error:
    sys.exit(f"bench: {error}")
