"""Where the queue calls the worker."""

import os

from functions.chat.doors import open_worker

handler = open_worker(os.environ)
