"""The entries of users, groups, organizations, tokens, audit log and admin in the console's navigation."""

from coderproj.console.navigation import Entry, Section
from coderproj.identity.filters import reads_audit_log
from coderproj.identity.rbac import may_enter_admin

ENTRIES = [
    Entry("users", "Users", Section.ACCESS, "user", "users", 50),
    Entry("groups", "Groups", Section.ACCESS, "users", "groups", 52),
    Entry("organizations", "Organizations", Section.ACCESS, "network", "organizations", 54),
    Entry("tokens", "API tokens", Section.ACCESS, "key-round", "tokens", 56),
    Entry("audit", "Audit log", Section.OPERATE, "history", "audit", 80, offered=reads_audit_log),
    Entry("admin", "Admin", Section.OPERATE, "settings-2", "/admin/", 90, offered=may_enter_admin),
]
