"""Where API Gateway calls the hook."""

import os

from functions.chat.doors import open_hook

handler = open_hook(os.environ)
