"""Where API Gateway calls the inference function."""

import os

from functions.inference.door import LambdaDoor

handler = LambdaDoor.open(os.environ)
