"""Where the event bus, alarms and the queue call the operator."""

import os

from functions.chat.doors import open_operator

handler = open_operator(os.environ)
