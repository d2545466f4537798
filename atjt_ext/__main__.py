"""``python -m atjt_ext``."""

import sys

from .cli.main import main

sys.exit(main())
