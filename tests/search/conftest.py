"""Puts the pretended job next to the tests that drive it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
