"""Archives of template sources: taking them in, unpacking them, making them.

What is stored is always a plain tar: zip files are converted and gzip is undone on the way in. ``check``
(upload) and ``unpack`` (job) read with the same reader and the same rules. No Django here: the job's own
process uses it.
"""

from provisioning.files.archive.receiving import ArchiveInfo, check
from provisioning.files.archive.rules import Members
from provisioning.files.archive.unpacking import Unpacked, pack, unpack

__all__ = ["ArchiveInfo", "Members", "Unpacked", "check", "pack", "unpack"]
