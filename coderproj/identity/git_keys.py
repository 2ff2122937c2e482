"""SSH keys of users: created on first use, regenerated on request."""

import base64
import hashlib
import uuid

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.conf import settings

from coderproj.base.errors import DomainError, Forbidden
from coderproj.identity import audit
from coderproj.identity.actor import Actor
from coderproj.identity.models import AuditAction, GitSSHKey, User
from coderproj.identity.roles import SiteRole


class KeyUnreadable(DomainError):
    """The stored private key was encrypted with another secret key of the deployment."""

    status_code = 500
    message = "The user's SSH key cannot be decrypted. The user must generate a new one."


def git_ssh_key(actor: Actor, user: User) -> GitSSHKey:
    """Return the user's key. Raises Forbidden for another user's key unless the actor is an owner."""
    _require_own(actor, user)
    return _key_of(user.pk)


def key_pair_of(user_id: uuid.UUID) -> tuple[str, str]:
    """Return the public and the private key of a user, for the agents of the user's workspaces. Raises
    KeyUnreadable."""
    key = _key_of(user_id)
    try:
        return key.public_key, _cipher().decrypt(bytes(key.encrypted_private_key)).decode()
    except InvalidToken:
        raise KeyUnreadable from None


def regenerate_git_ssh_key(actor: Actor, user: User) -> GitSSHKey:
    """Replace the user's key. Raises Forbidden like ``git_ssh_key``."""
    key = git_ssh_key(actor, user)
    with audit.record(actor, AuditAction.WRITE, key) as entry:
        key.public_key, key.encrypted_private_key = _new_pair()
        key.save()
        entry.after = key
    return key


def _key_of(user_id: uuid.UUID) -> GitSSHKey:
    """Return the user's key, which the first use creates."""
    found = GitSSHKey.objects.filter(user=user_id).first()
    if found is not None:
        return found
    public, private = _new_pair()
    defaults = {"public_key": public, "encrypted_private_key": private}
    return GitSSHKey.objects.get_or_create(user_id=user_id, defaults=defaults)[0]


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
