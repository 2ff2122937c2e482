"""Functions that run in a bounded process: whatever an author of templates can make long.

A ``Task`` names a function of bytes-like arguments that depends on nothing but them. ``Pool.run`` calls it in one of a
few processes that were started before, with a limit on processor time, memory and waiting, and with a bounded share for
each user. No Django: the processes import the tasks' modules, and hold no credentials.
"""

from coderproj.base.bounded.errors import OverLimit, PoolBusy, ShareUsedUp, TaskFailed
from coderproj.base.bounded.pool import Pool
from coderproj.base.bounded.tasks import Task

__all__ = ["OverLimit", "Pool", "PoolBusy", "ShareUsedUp", "Task", "TaskFailed"]
