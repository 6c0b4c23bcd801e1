"""Where EventBridge and people call the drift function."""

import os

from functions.drift.door import Door

handler = Door.open(os.environ)
