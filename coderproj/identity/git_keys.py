"""SSH keys of users: created on first use, regenerated on request."""

import base64
import hashlib

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.conf import settings

from coderproj.base.errors import Forbidden
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, GitSSHKey, User
from coderproj.identity.roles import SiteRole


def git_ssh_key(actor: Actor, user: User) -> GitSSHKey:
    """Return the user's key. Raises Forbidden for another user's key unless the actor is an owner."""
    _require_own(actor, user)
    public, private = _new_pair()
    defaults = {"public_key": public, "encrypted_private_key": private}
    return GitSSHKey.objects.get_or_create(user=user, defaults=defaults)[0]


def regenerate_git_ssh_key(actor: Actor, user: User) -> GitSSHKey:
    """Replace the user's key. Raises Forbidden like ``git_ssh_key``."""
    key = git_ssh_key(actor, user)
    with audit.record(actor, AuditAction.WRITE, key) as entry:
        key.public_key, key.encrypted_private_key = _new_pair()
        key.save()
        entry.after = key
    return key


def _require_own(actor: Actor, user: User) -> None:
    if user.pk != actor.id and SiteRole.OWNER not in actor.site_roles:
        raise Forbidden


def _new_pair() -> tuple[str, bytes]:
    """Return an OpenSSH public key and the encrypted private key."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return public, _cipher().encrypt(private)


def _cipher() -> Fernet:
    """Return a cipher whose key is derived from the deployment's secret key."""
    digest = hashlib.sha256(b"git ssh keys\0" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
