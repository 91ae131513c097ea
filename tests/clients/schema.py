"""Checks documents against a JSON schema: reads a list `[schema, [document, ...]]` from standard input, and prints a list that
has, for each document, whether it is valid. Fails if the schema itself is not one."""

import json
import sys

import jsonschema_rs

schema, documents = json.load(sys.stdin)
jsonschema_rs.meta.validate(schema)
validator = jsonschema_rs.validator_for(schema)
json.dump([validator.is_valid(document) for document in documents], sys.stdout)
