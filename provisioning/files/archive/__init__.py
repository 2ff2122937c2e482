"""Archives of template sources: check uploads, unpack and pack.

Stored files are always plain tars: an upload in zip format is converted, gzip is decompressed. ``check`` (upload) and
``unpack`` (job) use the same reader and the same rules. This package imports no Django, because the runner uses it.
"""

from provisioning.files.archive.receiving import ArchiveInfo, check
from provisioning.files.archive.rules import Members
from provisioning.files.archive.unpacking import Unpacked, pack, unpack

__all__ = ["ArchiveInfo", "Members", "Unpacked", "check", "pack", "unpack"]
