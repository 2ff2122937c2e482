"""SSH keys that a user's workspaces use for git hosts."""

from django.db import models

from coderproj.identity.models.users import User


class GitSSHKey(models.Model):
    """The key pair of a user, created on first use. The private key is stored encrypted, and only agents of
    the user's workspaces read it."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="git_ssh_key")
    public_key = models.TextField()
    encrypted_private_key = models.BinaryField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["user"]
        verbose_name = "git SSH key"

    def __str__(self) -> str:
        return f"SSH key of {self.user}"
