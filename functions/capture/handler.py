"""Where CloudWatch Logs calls the capture function."""

import os

from functions.capture.door import Door

handler = Door.open(os.environ)
