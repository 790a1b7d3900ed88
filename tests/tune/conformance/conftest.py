"""These tests run in the driver's process; those in ``test_on_ray.py`` start Ray."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
