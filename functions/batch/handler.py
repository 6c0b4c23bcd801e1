"""Where Step Functions calls the batch function."""

import os

from snapshot_restore_py import register_after_restore

from functions.batch.door import Door

handler = Door.open(os.environ)
register_after_restore(handler.desk.reconnect)
