"""The demo is run from the checkout's root, not installed: its folder's parent goes on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
