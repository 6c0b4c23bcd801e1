"""Where API Gateway calls the control function."""

import os

from functions.control.door import LambdaDoor

handler = LambdaDoor.open(os.environ)
