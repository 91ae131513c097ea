#!/usr/bin/env python3
"""Copies groups, their members and their deploy tokens from a GitLab to dependency-proxy.

    from_gitlab.py --from https://gitlab.example.com --to https://images.example.com --secrets FOLDER [--dry-run] GROUP...

It needs python-gitlab. GITLAB_TOKEN is a token at GitLab with the scope read_api, of an owner of the groups;
DEPENDENCY_PROXY_TOKEN is one of an administrator here, as `dependency-proxy login` makes. Each GROUP is the full path of a
group, which is copied with the groups below it, to the same path; the groups above it must exist here.

Only what is missing is created; nothing that exists is changed or removed, so that the script can run again at any time.
Users are found by their user names; those who are blocked at GitLab are left out. Missing ones are created without a
password: they can pull once an administrator has set one (`dependency-proxy user change NAME --password-stdin`) or has
created a token for them. The administrator whose token is used is an owner of each group that is created at the top level.

Of deploy tokens, those that may read a registry are copied, with name, user name and end. GitLab does not show their
secrets again. Where FOLDER/<group path>/<user name> exists, its content becomes the secret, so that clients need no change;
otherwise a new secret is written to that file, which only its owner can read. Of several tokens of a group with the same
user name, the oldest is copied: the file of a user name has one secret. The others are named, to be created by hand.

Prints a line for each thing that is created or cannot be copied. The exit code is 1 if anything could not be copied.
"""

import argparse
import os
import pathlib
import re
import sys

import gitlab

# Access levels that both services have. GitLab has others between them, for which a member gets the next lower one, and
# one below, which allows no pulls there either.
LEVELS = [10, 15, 20, 30, 40, 50]
PULL = ["read_registry", "write_registry"]
# Users that GitLab makes for access tokens of groups and projects.
BOT = re.compile(r"(group|project)_\d+_bot")


class Move:
    def __init__(self, options):
        token = lambda name: os.environ.get(name) or sys.exit(f"{name} is not set")  # noqa: E731
        self.there = gitlab.Gitlab(options.source, private_token=token("GITLAB_TOKEN"))
        self.here = gitlab.Gitlab(options.target, private_token=token("DEPENDENCY_PROXY_TOKEN"))
        self.here.auth()
        self.secrets = options.secrets
        self.dry = options.dry_run
        self.users = {}
        self.failed = False

    def group(self, path):
        """Copies a group and all groups below it, those above first."""
        top = self.there.groups.get(path)
        below = top.descendant_groups.list(get_all=True)
        for group in sorted([top, *below], key=lambda group: group.full_path):
            # A descendant is listed without the managers of its members and tokens.
            self.one_group(self.there.groups.get(group.id))

    def one_group(self, group):
        found, here = self.attempt(f"group {group.full_path}", lambda: self.ready_group(group))
        if not found:
            return
        for member in group.members.list(get_all=True):
            if member.access_level >= LEVELS[0] and member.state == "active" and not BOT.match(member.username):
                self.attempt(f"member {member.username} of {group.full_path}", lambda: self.member(here, member, group))
        taken = {token.username for token in here.deploytokens.list(active=True, get_all=True)} if here else set()
        copied = set()
        for token in sorted(group.deploytokens.list(get_all=True), key=lambda token: token.id):
            if not (token.revoked or token.expired) and {"read_registry", "read_virtual_registry"} & set(token.scopes):
                what = f"deploy token {token.username} of {group.full_path}"
                self.attempt(what, lambda: self.deploy_token(here, token, (taken, copied), group))

    def ready_group(self, group):
        """Returns the group here; None in a dry run if it would be created."""
        here = existing(self.here.groups, group.full_path)
        if here is not None or not self.creates(f"group {group.full_path}"):
            return here
        new = {"name": group.name, "path": group.path, "visibility": group.visibility}
        new["description"] = group.description or ""
        above = group.full_path.rpartition("/")[0]
        if above:
            new["parent_id"] = self.here.groups.get(above).id
        return self.here.groups.create(new)

    def member(self, here, member, group):
        level = max(level for level in LEVELS if level <= member.access_level)
        user = self.user(member)
        # Who creates a group at the top level is an owner of it.
        creator = here is None and "/" not in group.full_path and user and user.id == self.here.user.id
        if creator or here and user and existing(here.members, user.id):
            return
        if self.creates(f"member {member.username} of {group.full_path}"):
            here.members.create({"user_id": user.id, "access_level": level, "expires_at": member.expires_at or ""})

    def user(self, member):
        """Returns the user here; None in a dry run if it would be created."""
        name = member.username.lower()
        if name not in self.users:
            found = self.here.users.list(username=member.username, get_all=True)
            self.users[name] = found[0] if found else None
            if not found and self.creates(f"user {member.username}, without a password"):
                new = {"username": member.username, "name": member.name, "force_random_password": True}
                self.users[name] = self.here.users.create(new)
        return self.users[name]

    def deploy_token(self, here, token, known, group):
        taken, copied = known
        if token.username in copied:
            by_hand = f"dependency-proxy token create --group {group.full_path} --username {token.username}"
            raise ValueError(f"an older one has the same user name; create '{token.name}' by hand: {by_hand} --name NAME")
        copied.add(token.username)
        file = self.secrets / group.full_path / token.username
        kept = file.read_text().strip() if file.exists() else None
        if token.username in taken:
            if kept == "":
                raise ValueError(f"it exists, but {file} is empty, because an earlier run ended: rotate the token")
            return
        with_secret = "with the secret in" if kept else "with a new secret, in"
        if not self.creates(f"deploy token {token.username} of {group.full_path}, {with_secret} {file}"):
            return
        new = {"name": token.name, "username": token.username, "scopes": PULL, "expires_at": token.expires_at}
        if kept:
            here.deploytokens.create({**new, "token": kept})
            return
        # The file is made first, because the secret of a token is shown only once.
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as secret:
            secret.write(here.deploytokens.create(new).token + "\n")

    def creates(self, what):
        """Prints what is created, and returns whether it is."""
        print(f"{'would create' if self.dry else 'creates'} {what}", flush=True)
        return not self.dry

    def attempt(self, what, copy):
        """Returns whether something could be copied, and what the copy returned."""
        try:
            return True, copy()
        except (gitlab.GitlabError, OSError, ValueError) as error:
            print(f"cannot copy {what}: {error}", file=sys.stderr, flush=True)
            self.failed = True
            return False, None


def existing(manager, key):
    """Returns the object with this key; None if there is none."""
    try:
        return manager.get(key)
    except gitlab.GitlabGetError as error:
        if error.response_code == 404:
            return None
        raise


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", required=True, metavar="URL", help="URL of GitLab")
    parser.add_argument("--to", dest="target", required=True, metavar="URL", help="URL of dependency-proxy")
    parser.add_argument("--secrets", required=True, type=pathlib.Path, metavar="FOLDER", help="folder of secrets")
    parser.add_argument("--dry-run", action="store_true", help="print what would be created, and change nothing")
    parser.add_argument("groups", nargs="+", metavar="GROUP", help="full path of a group")
    options = parser.parse_args()
    move = Move(options)
    for group in options.groups:
        move.attempt(f"group {group}", lambda: move.group(group))
    return 1 if move.failed else 0


if __name__ == "__main__":
    sys.exit(main())
