"""Archives for tests, including malformed ones, and shortcuts to check them."""

import io
import tarfile
import zipfile

from provisioning.files import archive

MAIN = b'resource "null_resource" "a" {}\n'
LIMIT = 1024 * 1024
END = bytes(1024)


def make_tar(*members, tar_format=tarfile.PAX_FORMAT):
    """Return a tar of ``(name, content)`` pairs. The content None makes a directory; a TarInfo is used unchanged."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as tar:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if content is None:
                if not isinstance(name, tarfile.TarInfo):
                    info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def make_zip(*members, mode=0o100644):
    """Return a zip of ``(name, content)`` pairs. A name that ends with a slash makes a directory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = (0o040755 if name.endswith("/") else mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return buffer.getvalue()


def special(name, kind, linkname=""):
    """Return the header of a member that is no regular file: a link, a device, a pipe."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = linkname
    return info


def raw_header(name, *, size=0, typeflag=b"0", size_field=None):
    """Return one header block that a correct tar writer would not create."""
    field = f"{size:011o}\0".encode() if size_field is None else size_field
    block = bytearray(
        name.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + field + b"00000000000\0" + b" " * 8 + typeflag
    )
    block += bytes(512 - len(block))
    block[257:265] = b"ustar\x0000"
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def pax(records, typeflag=b"x"):
    """Return an extended header with these ``(key, value)`` records, for one member or (``g``) for all."""
    content = b""
    for key, value in records:
        record = b" " + key + b"=" + value + b"\n"
        length = len(record) + len(str(len(record) + 2))
        content += str(length).encode() + record
    return raw_header(b"pax", size=len(content), typeflag=typeflag) + content + bytes(-len(content) % 512)


def check(data, limit=LIMIT):
    """Check an archive. Return what is known of it, and the tar that is stored."""
    sink = io.BytesIO()
    info = archive.check(io.BytesIO(data), limit_bytes=limit, sink=sink)
    return info, sink.getvalue()


class Dribble(io.RawIOBase):
    """A stream that returns a few bytes at a time, as sockets do."""

    def __init__(self, data):
        self._buffer = io.BytesIO(data)

    def read(self, size=-1):
        return self._buffer.read(min(size, 7))


def check_dribbled(data):
    """Check an archive that arrives in small pieces. Return what is known of it."""
    return archive.check(Dribble(data), limit_bytes=LIMIT, sink=io.BytesIO())


def stored_names(stored):
    """Return the names of the members of a tar."""
    with tarfile.open(fileobj=io.BytesIO(stored)) as tar:
        return tar.getnames()
