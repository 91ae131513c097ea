"""Hooks of schemathesis. Most requests name objects that there are and have values that the API accepts: the others are
as the description alone makes them. API_OBJECTS has the objects as JSON: `kept` ones, and `spare` ones for DELETE, each a list
of objects that belong together. No request takes away the administrator's own access or a kept object, or switches the
proxy off. The number of responses by operation and status is written to the file that API_RESULTS names."""

import atexit
import collections
import itertools
import json
import os
import random

import schemathesis

OBJECTS = json.loads(os.environ["API_OBJECTS"])
RESULTS = collections.defaultdict(collections.Counter)
NUMBERS = itertools.count()
SPARE = itertools.cycle(OBJECTS["spare"])

# The share of requests whose path, query or body stays as the description alone makes it.
AS_MADE = 0.2

# Values of parameters that have a form which the description says in words.
ACCEPTED = {
    "username": lambda: f"user{next(NUMBERS)}",
    "email": lambda: f"user{next(NUMBERS)}@example.com",
    "name": lambda: f"Name {next(NUMBERS)}",
    "path": lambda: f"path{next(NUMBERS)}",
    "password": lambda: "a long password",
    "images": lambda: ["alpine:3.22"],
    "image": lambda: "alpine:3.22",
    "platforms": lambda: ["linux/amd64"],
    "identity": lambda: "robot",
    "secret": lambda: "secret",
    "token": lambda: f"a secret from elsewhere {next(NUMBERS)}",
    "overlap": lambda: "1h",
    "expires_at": lambda: "2999-01-01",
    "visibility": lambda: "private",
    "scopes": lambda: ["read_registry", "write_registry"],
    "user_id": lambda: next(SPARE)["users"],
    "user": lambda: "root",
    "parent_id": lambda: next(SPARE)["groups"],
    "group_id": lambda: OBJECTS["kept"][1]["groups"],
    "access_level": lambda: 30,
}


def choice(parameters):
    """Returns a source of choices that is the same for the same parameters: Hypothesis repeats what it has tried."""
    return random.Random(json.dumps(parameters, sort_keys=True, default=str))


def changed(parameters):
    """Returns parameters, most of the time with accepted values for those that are there."""
    if not isinstance(parameters, dict) or choice(parameters).random() < AS_MADE:
        return parameters
    return {name: ACCEPTED[name]() if name in ACCEPTED else value for name, value in parameters.items()}


@schemathesis.hook
def map_body(context, body):
    return changed(body)


@schemathesis.hook
def map_query(context, query):
    return changed(query)


def objects(operation):
    """Returns the objects for an operation: for the deletion of a whole set of them, others than for that of a part."""
    if operation.method != "delete":
        return OBJECTS["kept"]
    whole = operation.path in ("/groups/{id}", "/users/{id}")
    return OBJECTS["spare"][:4] if whole else OBJECTS["spare"][4:]


@schemathesis.hook
def map_path_parameters(context, parameters):
    operation = context.operation
    source = choice(parameters)
    if not parameters or source.random() < AS_MADE:
        return parameters
    known = source.choice(objects(operation))
    segments = operation.path.split("/")
    for name in parameters:
        # What a parameter names is the segment before it: /groups/{id}/deploy_tokens/{token_id}.
        subject = segments[segments.index("{" + name + "}") - 1]
        parameters[name] = known.get(name, known.get(subject, parameters[name]))
    return parameters


def kept(kind):
    """Returns the numbers of the objects of a kind that stay."""
    return {str(known[kind]) for known in OBJECTS["kept"] if kind in known}


@schemathesis.hook
def filter_case(context, case):
    parameters = {name: str(value) for name, value in (case.path_parameters or {}).items()}
    own = OBJECTS["own"]
    if case.method == "DELETE" and parameters.get("id") in kept(case.path.split("/")[1]):
        return False
    if case.method == "GET":
        return True
    body = case.body if isinstance(case.body, dict) else {}
    if body.get("dependency_proxy_enabled", True) not in (True, None):
        return False
    if case.path.endswith("/rotate") and "overlap" not in body:
        # The token would have another number.
        tokens = kept("deploy_tokens") | kept("access_tokens") | kept("personal_access_tokens")
        return not set(parameters.values()) & tokens
    if case.path.startswith("/personal_access_tokens/"):
        return "/self" not in case.path and parameters.get("id") != own["token"]
    if case.path.startswith("/users/{id}"):
        return parameters.get("id") != own["user"]
    return True


@schemathesis.hook
def after_call(context, case, response):
    RESULTS[f"{case.method} {case.path}"][str(response.status_code)] += 1


@atexit.register
def write():
    with open(os.environ["API_RESULTS"], "w", encoding="utf-8") as file:
        json.dump(RESULTS, file)
