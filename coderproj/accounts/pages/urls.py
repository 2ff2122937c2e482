"""Routes of the pages of users, groups, organizations, tokens and the audit log, and of signing in."""

from django.urls import path

from coderproj.accounts.pages import (
    account,
    audit,
    group,
    groups,
    organizations,
    people,
    sessions,
    tokens,
    user,
    users,
)
from coderproj.console.search import Search

USER = "users/<uuid:user>"
GROUP = "groups/<uuid:group>"
ORGANIZATION = "organizations/<uuid:organization_id>"

urlpatterns = [
    path("search", Search.as_view(), name="search"),
    path("setup", sessions.SetUp.as_view(), name="set-up"),
    path("login", sessions.SignIn.as_view(), name="sign-in"),
    path("logout", sessions.SignOut.as_view(), name="sign-out"),
    path("account", account.Account.as_view(), name="account"),
    path("cli-auth", account.CommandLineToken.as_view(), name="cli-auth"),
    path("tokens", tokens.Tokens.as_view(), name="tokens"),
    path("tokens/new", tokens.NewToken.as_view(), name="new-token"),
    path("tokens/<str:token>/revoke", tokens.RevokeToken.as_view(), name="revoke-token"),
    path("people", people.SuggestPeople.as_view(), name="people"),
    path("users", users.UsersPage.as_view(), name="users"),
    path("users/new", users.NewUser.as_view(), name="new-user"),
    path(USER, user.UserPage.as_view(), name="user"),
    path(f"{USER}/profile", user.Profile.as_view(), name="user-profile"),
    path(f"{USER}/roles", user.SiteRoles.as_view(), name="user-roles"),
    path(f"{USER}/password", user.NewPassword.as_view(), name="user-password"),
    path(f"{USER}/suspend", user.SuspendUser.as_view(), name="suspend-user"),
    path(f"{USER}/activate", user.ActivateUser.as_view(), name="activate-user"),
    path(f"{USER}/delete", user.DeleteUser.as_view(), name="delete-user"),
    path(f"{USER}/tokens/new", tokens.NewToken.as_view(), name="new-user-token"),
    path("groups", groups.GroupsPage.as_view(), name="groups"),
    path("groups/new", groups.NewGroup.as_view(), name="new-group"),
    path(GROUP, group.GroupPage.as_view(), name="group"),
    path(f"{GROUP}/settings", group.GroupSettings.as_view(), name="group-settings"),
    path(f"{GROUP}/members/add", group.AddMember.as_view(), name="add-group-member"),
    path(f"{GROUP}/members/remove", group.RemoveMember.as_view(), name="remove-group-member"),
    path(f"{GROUP}/delete", group.DeleteGroup.as_view(), name="delete-group"),
    path("organizations", organizations.OrganizationsPage.as_view(), name="organizations"),
    path("organizations/new", organizations.NewOrganization.as_view(), name="new-organization"),
    path(ORGANIZATION, organizations.OrganizationPage.as_view(), name="organization"),
    path(f"{ORGANIZATION}/settings", organizations.OrganizationSettings.as_view(), name="organization-settings"),
    path(f"{ORGANIZATION}/delete", organizations.DeleteOrganization.as_view(), name="delete-organization"),
    path(f"{ORGANIZATION}/members/add", organizations.AddOrganizationMember.as_view(), name="add-member"),
    path(f"{ORGANIZATION}/members/role", organizations.SetMemberRole.as_view(), name="member-role"),
    path(f"{ORGANIZATION}/members/remove", organizations.RemoveOrganizationMember.as_view(), name="remove-member"),
    path("audit", audit.AuditPage.as_view(), name="audit"),
    # In place of the admin's own pages: users sign in and change their password in one place.
    path("admin/login/", sessions.AdminSignIn.as_view()),
    path("admin/logout/", sessions.SignOut.as_view()),
    path("admin/password_change/", account.Account.as_view()),
]
