"""Where API Gateway calls the hook."""

import os

from snapshot_restore_py import register_before_snapshot

from functions.chat.doors import open_hook

handler = open_hook(os.environ)
register_before_snapshot(handler.warm_up)
