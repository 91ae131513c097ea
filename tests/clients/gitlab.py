"""Drives the REST API as users of GitLab do, through python-gitlab.

    gitlab.py URL

The administrator's token is in GITLAB_ADMIN_TOKEN. Each function below is a separate check and creates the objects
that it needs under its own names; they run in the order of the file. Exits with 0, or with a traceback at the first
response that differs from GitLab's.
"""

import datetime
import os
import sys

# The script has the same name as the library, and must not be imported instead of it.
sys.path.pop(0)

import gitlab  # noqa: E402
import requests  # noqa: E402
from gitlab.const import AccessLevel  # noqa: E402

URL = sys.argv[1]
ADMIN_TOKEN = os.environ["GITLAB_ADMIN_TOKEN"]
PULL = ["read_registry", "write_registry"]


def client(token, **options):
    return gitlab.Gitlab(URL, private_token=token, **options)


def refused(status, call, *arguments, containing="", **options):
    try:
        answer = call(*arguments, **options)
    except gitlab.GitlabError as error:
        assert error.response_code == status, f"{error.response_code}, not {status}: {error}"
        assert containing in str(error.error_message), error.error_message
        return error
    raise AssertionError(f"not refused: {answer}")


def day(ahead):
    return (datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=ahead)).isoformat()


def new_user(admin, name, **more):
    email = f"{name}@example.com"
    return admin.users.create({"username": name, "name": name.title(), "email": email, "password": "long enough", **more})


def token_of(user, scopes=("api",)):
    return user.personal_access_tokens.create({"name": "test", "scopes": list(scopes)}).token


def who_am_i(admin):
    admin.auth()
    assert admin.user.username == "root" and admin.user.is_admin and admin.user.state == "active"
    bearer = gitlab.Gitlab(URL, oauth_token=ADMIN_TOKEN)
    bearer.auth()
    assert bearer.user.id == admin.user.id
    refused(401, client("nonsense").auth, containing="401 Unauthorized")
    refused(401, gitlab.Gitlab(URL).groups.list, containing="401 Unauthorized")
    basic = requests.get(f"{URL}/api/v4/user", auth=("root", ADMIN_TOKEN), timeout=10)
    assert basic.status_code == 401 and basic.json() == {"message": "401 Unauthorized"}
    assert basic.headers["X-Request-Id"]


def users(admin):
    ada = new_user(admin, "ada")
    assert ada.state == "active" and ada.email == "ada@example.com" and not ada.is_admin
    assert [user.id for user in admin.users.list(username="ADA", get_all=False)] == [ada.id]
    assert [user.id for user in admin.users.list(search="ada@exa", get_all=False)] == [ada.id]
    refused(409, new_user, admin, "ADA", email="other@example.com", containing="Username has already been taken")
    refused(409, new_user, admin, "ada2", email="Ada@example.com", containing="Email has already been taken")
    refused(400, new_user, admin, "gitlab-ci-token", containing="reserved")
    refused(400, new_user, admin, "shorty", password="1234567", containing="too short")
    refused(400, admin.users.create, {"username": "x"}, containing="name is missing")

    ada.name, ada.admin = "Ada L.", True
    ada.save()
    again = admin.users.get(ada.id)
    assert (again.name, again.is_admin, again.email) == ("Ada L.", True, "ada@example.com")
    assert ada.id in [user.id for user in admin.users.list(admins=True, get_all=True)]
    admin.users.update(ada.id, {"admin": False, "password": "another long one"})

    token = token_of(ada)
    assert client(token).users.get(admin.user.id).attributes.get("email") is None
    assert ada.block() is True and admin.users.get(ada.id).state == "blocked"
    refused(403, client(token).auth, containing="blocked")
    assert [user.id for user in admin.users.list(blocked=True, get_all=True)] == [ada.id]
    assert ada.id not in [user.id for user in admin.users.list(active=True, get_all=True)]
    assert ada.unblock() is True
    client(token).auth()
    refused(403, client(token).users.create, {"username": "b", "name": "b", "password": "long enough"})
    refused(403, admin.users.get(admin.user.id).block, containing="cannot be blocked")
    refused(403, admin.users.delete, admin.user.id)

    ada.delete()
    refused(404, admin.users.get, ada.id, containing="404 User Not Found")
    refused(401, client(token).auth)
    assert new_user(admin, "ada").id > ada.id, "numbers are never given twice"


def groups(admin):
    team = admin.groups.create({"name": "Team", "path": "Team", "visibility": "internal", "description": "all of us"})
    assert (team.full_path, team.visibility, team.parent_id) == ("team", "internal", None)
    ci = admin.groups.create({"name": "CI", "path": "ci", "parent_id": team.id})
    deep = admin.groups.create({"name": "Deep", "path": "deep", "parent_id": ci.id, "visibility": "private"})
    assert (deep.full_path, deep.full_name, deep.parent_id) == ("team/ci/deep", "Team / CI / Deep", ci.id)
    assert admin.groups.get("team/ci/deep").id == admin.groups.get("TEAM/CI/Deep").id == deep.id
    assert [group.id for group in team.subgroups.list(get_all=True)] == [ci.id]
    assert {group.id for group in team.descendant_groups.list(get_all=True)} == {ci.id, deep.id}
    top = admin.groups.list(top_level_only=True, get_all=True)
    assert team.id in [group.id for group in top] and ci.id not in [group.id for group in top]
    assert [group.id for group in admin.groups.list(search="dee", get_all=True)] == [deep.id]

    for path, reason in [
        ("team", "has already been taken"),
        ("v2", "reserved"),
        ("api", "reserved"),
        ("dependency_proxy", "reserved"),
        ("library", "reserved"),
        ("docker.io", "upstream"),
        ("a/b", "can contain only"),
        ("..", "can contain only"),
        ("%2e%2e", "can contain only"),
    ]:
        refused(400, admin.groups.create, {"name": "n", "path": path}, containing=reason)
    wider = {"name": "n", "path": "n", "parent_id": team.id, "visibility": "public"}
    refused(400, admin.groups.create, wider, containing="not allowed since the parent group")
    refused(404, admin.groups.create, {"name": "n", "path": "n", "parent_id": 99999}, containing="Group Not Found")
    refused(404, admin.groups.get, "no/such", containing="404 Group Not Found")

    team.name, team.path = "Crew", "crew"
    team.save()
    assert admin.groups.get(deep.id).full_path == "crew/ci/deep"
    refused(404, admin.groups.get, "team/ci")
    admin.groups.update(ci.id, {"dependency_proxy_enabled": False})
    assert admin.groups.get("crew/ci").dependency_proxy_enabled is False
    admin.groups.update(ci.id, {"dependency_proxy_enabled": None})
    assert admin.groups.get("crew/ci").dependency_proxy_enabled is None

    assert admin.http_delete("/groups/crew%2Fci/dependency_proxy/cache").status_code == 202
    ci.delete()
    refused(404, admin.groups.get, deep.id)
    assert admin.groups.get("crew").id == team.id


def members(admin):
    one, two = new_user(admin, "member-one"), new_user(admin, "member-two")
    group = admin.groups.create({"name": "Members", "path": "members"})
    below = admin.groups.create({"name": "Below", "path": "below", "parent_id": group.id})
    refused(404, client(token_of(one)).groups.get, "members", containing="404 Group Not Found")

    member = group.members.create({"user_id": one.id, "access_level": AccessLevel.DEVELOPER, "expires_at": day(9)})
    assert (member.id, member.username, member.access_level, member.expires_at) == (one.id, "member-one", 30, day(9))
    refused(409, group.members.create, {"user_id": one.id, "access_level": 10}, containing="Member already exists")
    refused(400, group.members.create, {"user_id": two.id, "access_level": 60}, containing="valid value")
    refused(404, group.members.create, {"user_id": 99999, "access_level": 10}, containing="404 User Not Found")
    below.members.create({"username": "member-two", "access_level": AccessLevel.OWNER})

    assert {member.id for member in below.members.list(get_all=True)} == {two.id}
    assert {member.id for member in below.members_all.list(get_all=True)} == {one.id, two.id, admin.user.id}
    assert below.members_all.get(one.id).access_level == 30
    refused(404, below.members.get, one.id, containing="404 Not found")
    refused(400, below.members.create, {"user_id": one.id, "access_level": 20}, containing="inherited")
    assert [member.id for member in group.members.list(query="ONE", get_all=True)] == [one.id]

    member.access_level, member.expires_at = AccessLevel.MAINTAINER, ""
    member.save()
    assert (group.members.get(one.id).access_level, group.members.get(one.id).expires_at) == (40, None)
    maintainer = client(token_of(one)).groups.get("members")
    refused(403, maintainer.members.create, {"user_id": two.id, "access_level": 10}, containing="403 Forbidden")
    owner = client(token_of(two)).groups.get("members/below")
    created = client(token_of(two)).groups.create({"name": "Mine", "path": "mine", "parent_id": owner.id})
    assert created.full_path == "members/below/mine"
    refused(403, client(token_of(two)).groups.create, {"name": "Top", "path": "top"}, containing="403 Forbidden")
    refused(403, group.members.delete, admin.user.id, containing="last owner")

    member.delete()
    refused(404, group.members.get, one.id)
    refused(404, client(token_of(one)).groups.get, "members")


def personal_tokens(admin):
    user = new_user(admin, "token-user")
    token = user.personal_access_tokens.create({"name": "ci", "scopes": ["api"], "expires_at": day(30)})
    assert token.token.startswith("dpp-") and token.active and not token.revoked
    assert (token.user_id, token.scopes, token.expires_at) == (user.id, ["api"], day(30))
    assert user.personal_access_tokens.create({"name": "year", "scopes": ["read_api"]}).expires_at == day(365)
    own = client(token.token)
    assert [each.name for each in own.personal_access_tokens.list(get_all=True)] == ["ci", "year"]
    assert not any("token" in each.attributes for each in own.personal_access_tokens.list(get_all=True))
    mine = own.personal_access_tokens.get("self")
    assert mine.id == token.id and mine.last_used_at
    refused(401, own.personal_access_tokens.list, user_id=admin.user.id, get_all=True)
    refused(401, own.personal_access_tokens.get, 99999)
    refused(404, admin.personal_access_tokens.get, 99999)
    assert len(admin.personal_access_tokens.list(user_id=user.id, get_all=True)) == 2
    bad = user.personal_access_tokens.create
    long = {"name": "x", "scopes": ["api"], "description": "x" * 256}
    refused(400, bad, long, containing="is too long (maximum is 255 characters)")
    brief = client(bad({"name": "brief", "scopes": ["api"], "expires_at": day(1)}).token)
    self_made = brief.users.get(user.id, lazy=True).personal_access_tokens.create
    refused(400, self_made, {"name": "x", "scopes": ["api"], "expires_at": "2999-01-01"}, containing="must not be after")
    made = self_made({"name": "x", "scopes": ["api"]})
    assert made.expires_at == day(1), made.expires_at
    brief.personal_access_tokens.delete("self")
    refused(401, client(made.token).auth)
    refused(400, bad, {"name": "x", "scopes": ["sudo"]}, containing="scopes does not have a valid value")
    refused(400, bad, {"name": "x", "scopes": ["api"], "expires_at": day(-1)}, containing="in the future")

    puller = client(token_of(user, PULL))
    error = refused(403, puller.groups.list, get_all=True)
    assert b"insufficient_scope" in error.response_body
    assert puller.personal_access_tokens.get("self").scopes == PULL
    reader = client(token_of(user, ["read_api"]))
    reader.groups.list(get_all=True)
    refused(403, reader.users.get(user.id).personal_access_tokens.create, {"name": "x", "scopes": ["api"]})

    rotated = admin.personal_access_tokens.get(token.id)
    rotated.rotate()
    assert rotated.token != token.token and rotated.expires_at == day(7) and rotated.id != token.id
    refused(401, own.auth)
    assert admin.personal_access_tokens.get(token.id).revoked
    assert token.id in [each.id for each in admin.personal_access_tokens.list(revoked=True, get_all=True)]
    refused(403, admin.personal_access_tokens.rotate, token.id)
    again = client(rotated.token).personal_access_tokens.get(rotated.id, lazy=True)
    again.rotate(self_rotate=True, expires_at=day(3))
    assert again.expires_at == day(3)
    client(again.token).personal_access_tokens.delete("self")
    refused(401, client(again.token).auth)
    admin.personal_access_tokens.list(user_id=user.id, state="active", get_all=True)[0].delete()


def group_tokens(admin):
    group = admin.groups.create({"name": "Robots", "path": "robots"})
    other = admin.groups.create({"name": "Humans", "path": "humans"})
    token = group.access_tokens.create({"name": "robot", "scopes": ["api"], "access_level": 50, "expires_at": day(30)})
    assert token.token.startswith("dpg-") and token.access_level == 50
    bot = group.members.get(token.user_id)
    assert bot.username.startswith(f"group_{group.id}_bot_") and bot.name == "robot"
    assert admin.users.get(bot.id).bot

    robot = client(token.token)
    robot.auth()
    assert robot.user.id == bot.id
    assert [each.id for each in robot.groups.list(get_all=True)] == [group.id]
    refused(404, robot.groups.get, other.id)
    refused(403, robot.groups.get(group.id).access_tokens.create, {"name": "x", "scopes": ["api"]})
    refused(400, other.members.create, {"user_id": bot.id, "access_level": 10})
    assert group.access_tokens.create({"name": "default", "scopes": PULL}).access_level == 40
    assert [each.name for each in group.access_tokens.list(state="active", get_all=True)] == ["robot", "default"]

    rotated = group.access_tokens.get(token.id)
    rotated.rotate(expires_at=day(10))
    assert (rotated.user_id, rotated.access_level, rotated.expires_at) == (bot.id, 50, day(10))
    refused(401, robot.auth)
    client(rotated.token).auth()
    group.access_tokens.delete(rotated.id)
    refused(404, group.members.get, bot.id)
    refused(404, group.access_tokens.get, rotated.id)
    refused(404, admin.users.get, bot.id)
    refused(401, client(rotated.token).auth)


def deploy_tokens(admin):
    group = admin.groups.create({"name": "Fleet", "path": "fleet"})
    token = group.deploytokens.create({"name": "fleet", "scopes": PULL})
    assert token.token.startswith("dpd-") and token.username == f"gitlab+deploy-token-{token.id}"
    assert token.expires_at is None and not token.revoked and not token.expired
    named = {"name": "named", "scopes": PULL, "username": "fleet-pull", "expires_at": "2999-01-02T03:04:05Z"}
    named = group.deploytokens.create(named)
    assert (named.username, named.expires_at) == ("fleet-pull", "2999-01-02T03:04:05.000Z")
    assert "token" not in group.deploytokens.get(named.id).attributes
    assert {each.id for each in group.deploytokens.list(get_all=True)} == {token.id, named.id}
    assert {token.id, named.id} <= {each.id for each in admin.deploytokens.list(get_all=True)}
    refused(401, client(token.token).groups.list, get_all=True)
    refused(400, group.deploytokens.create, {"name": "x", "scopes": ["api"]})

    brought = group.deploytokens.create({"name": "old", "scopes": PULL, "token": "a secret from elsewhere"})
    assert brought.token == "a secret from elsewhere"
    refused(400, group.deploytokens.create, {"name": "x", "scopes": PULL, "token": "too short"}, containing="too short")
    token.delete()
    refused(404, group.deploytokens.get, token.id)


def asked(username, secret, **query):
    """Returns the response of the token endpoint to these credentials: the status, and the message or the token."""
    answer = requests.get(f"{URL}/jwt/auth", params=query, auth=(username, secret), timeout=30)
    body = answer.json()
    return answer.status_code, body["token"] if answer.ok else body["errors"][0]["message"]


def pulls(username, secret, group):
    """Returns the status and the message of a manifest request after a login with these credentials."""
    status, bearer = asked(username, secret, scope=f"repository:{group}/dependency_proxy/containers/alpine:pull")
    assert status == 200, bearer
    manifest = f"{URL}/v2/{group}/dependency_proxy/containers/alpine/manifests/latest"
    answer = requests.get(manifest, headers={"Authorization": f"Bearer {bearer}"}, timeout=30)
    return answer.status_code, answer.json()["errors"][0]["message"]


def logins(admin):
    """Credentials created through this library can pull, and revoked ones get a message that states so."""
    group = admin.groups.create({"name": "Logins", "path": "logins"})
    other = admin.groups.create({"name": "Others", "path": "others"})
    user = new_user(admin, "puller")
    group.members.create({"user_id": user.id, "access_level": AccessLevel.GUEST})
    deploy = group.deploytokens.create({"name": "ci", "scopes": PULL, "username": "ci"})
    robot = group.access_tokens.create({"name": "robot", "scopes": PULL, "access_level": 10, "expires_at": day(9)})
    for username, secret in [
        ("ci", deploy.token), ("anybody", robot.token), ("anybody", token_of(user, PULL)), ("puller", "long enough"),
    ]:
        status, sentence = pulls(username, secret, group.path)
        assert (status, "docker.io has no" in sentence) == (403, True), "upstream was asked, and has none: " + sentence
        status, sentence = pulls(username, secret, other.path)
        assert status == 403 and sentence.startswith("Group 'others' does not exist, or "), sentence

    wrong = "Wrong username or password. With a token, use the token as the password"
    assert asked("puller", "something else") == (401, wrong)
    pull = {"scope": "repository:x:pull"}
    half = group.deploytokens.create({"name": "half", "scopes": ["read_registry"], "username": "half"})
    short = {"name": "short", "scopes": PULL, "username": "short", "expires_at": "2020-01-02T03:04:05Z"}
    refused(400, group.deploytokens.create, short)
    today = datetime.datetime.now(datetime.timezone.utc).date()
    deploy.delete()
    group.access_tokens.delete(robot.id)
    user.block()
    for username, secret, sentence in [
        ("ci", deploy.token, f"Token 'ci' was revoked on {today}"),
        ("anybody", robot.token, f"Token 'robot' was revoked on {today}"),
        ("half", half.token, "Token 'half' has the scope read_registry; pulling needs read_registry and write_registry"),
        ("puller", "long enough", "User puller is blocked"),
        ("x", "glpat-0123456789abcdefghij", "This is a GitLab token; this service has its own."),
    ]:
        status, said = asked(username, secret, **pull)
        assert (status, said.startswith(sentence)) == (403, True), (status, said)


def pages(admin):
    group = admin.groups.create({"name": "Pages", "path": "pages"})
    for number in range(45):
        admin.groups.create({"name": f"Page {number:02}", "path": f"p{number}", "parent_id": group.id})
    assert len(admin.groups.get("pages").subgroups.list(get_all=False)) == 20
    assert len(group.subgroups.list(get_all=True)) == 45
    listing = group.subgroups.list(iterator=True, per_page=10)
    assert (listing.total, listing.total_pages, listing.per_page, listing.current_page) == (45, 5, 10, 1)
    assert (listing.prev_page, listing.next_page) == (None, 2)
    assert [each.name for each in listing] == [f"Page {number:02}" for number in range(45)]
    assert len(group.subgroups.list(per_page=100, get_all=False)) == 45
    assert requests.head(f"{URL}/api/v4/user", headers={"PRIVATE-TOKEN": ADMIN_TOKEN}, timeout=10).status_code == 200
    group.delete()
    refused(404, admin.groups.get, "pages/p7")


def settings(admin):
    switch = admin.settings.get()
    assert switch.dependency_proxy_enabled is True
    switch.dependency_proxy_enabled = False
    switch.save()
    assert admin.settings.get().dependency_proxy_enabled is False
    admin.settings.update(new_data={"dependency_proxy_enabled": True})
    plain = client(token_of(new_user(admin, "plain")))
    refused(403, plain.settings.get, containing="403 Forbidden")


def main():
    admin = client(ADMIN_TOKEN)
    for check in [
        who_am_i, users, groups, members, personal_tokens, group_tokens, deploy_tokens, logins, pages, settings,
    ]:
        print(check.__name__, flush=True)
        check(admin)


main()
