from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Views, pages, admin and commands of users, organizations, groups, tokens and the audit log."""

    name = "coderproj.accounts"
    label = "accounts"
    verbose_name = "Accounts"
    contributions = {
        "audit_names": "coderproj.accounts.pages.audit_names.NAMES",
        "navigation": "coderproj.accounts.pages.navigation.ENTRIES",
        "search_sources": "coderproj.accounts.pages.search.SOURCES",
    }
