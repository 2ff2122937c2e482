from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Views, pages, admin and commands of users, organizations, groups, tokens and the audit log."""

    name = "coderproj.accounts"
    label = "accounts"
    verbose_name = "Accounts"
