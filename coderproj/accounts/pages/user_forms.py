"""The forms about one user."""

from django import forms

from coderproj.accounts.pages.people import PASSWORD_RULES
from coderproj.accounts.serializers.users import PASSWORD_LENGTH, USERNAME_LENGTH
from coderproj.base.identifiers import parse_uuid
from coderproj.console.forms import ConsoleForm
from coderproj.identity import users
from coderproj.identity.roles import SiteRole

ROLE_HINTS = {
    SiteRole.OWNER: "all permissions",
    SiteRole.TEMPLATE_ADMIN: "all templates, their versions and jobs",
    SiteRole.USER_ADMIN: "users, groups and memberships",
    SiteRole.AUDITOR: "reads templates and the audit log",
}


def check_username(value: str) -> None:
    """Raise ValidationError for a name that paths use for something else."""
    if value.lower() in users.RESERVED_USERNAMES or parse_uuid(value):
        raise forms.ValidationError("This username is reserved.")


def username_field() -> forms.RegexField:
    return forms.RegexField(
        rf"\A{users.USERNAME_PATTERN.pattern}\Z",
        label="Username",
        max_length=USERNAME_LENGTH,
        help_text="Letters, digits and single dashes between them.",
        error_messages={"invalid": "This is not a valid username."},
        validators=[check_username],
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )


class ProfileForm(ConsoleForm):
    username = username_field()
    name = forms.CharField(label="Full name", max_length=128, required=False)
    avatar_url = forms.CharField(
        label="Avatar",
        max_length=1024,
        required=False,
        help_text="The URL of a picture, for clients that show it. This console never loads it.",
    )


class RolesForm(ConsoleForm):
    roles = forms.MultipleChoiceField(
        label="Site roles",
        required=False,
        choices=[(role.value, f"{role.label}: {ROLE_HINTS[role]}") for role in SiteRole],
        widget=forms.CheckboxSelectMultiple,
    )


class NewPasswordForm(ConsoleForm):
    password = forms.CharField(
        label="New password",
        max_length=PASSWORD_LENGTH,
        strip=False,
        help_text=PASSWORD_RULES,
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
