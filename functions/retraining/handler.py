"""Where Step Functions calls the retraining function."""

import os

from snapshot_restore_py import register_after_restore

from functions.retraining.door import Door

handler = Door.open(os.environ)
for reconnect in handler.desk.reconnects:
    register_after_restore(reconnect)
