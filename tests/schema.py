"""Validates ecosystem files with a JSON Schema and prints what an editor would mark, as JSON.

Arguments: the schema, then the files. The answer maps each file to its errors. This uses parsers and a validator
that have no part in procrun.
"""

import json
import re
import resource
import sys
import tomllib

import jsonschema
import jsonschema.exceptions
import yaml

# YAML can expand without bound.
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

# Strings are matched first, so that their contents are no comments.
COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[\]}])')


def keep_strings(match):
    return match.group(1) or ""


def parse(name, text):
    if name.endswith(".toml"):
        return tomllib.loads(text)
    if name.endswith(".json"):
        text = COMMENT.sub(keep_strings, text)
        return json.loads(TRAILING_COMMA.sub(keep_strings, text))
    return yaml.safe_load(text)


def errors(validator, name):
    try:
        with open(name, "rb") as file:
            value = parse(name, file.read().decode("utf-8-sig"))
        # Dates become strings.
        value = json.loads(json.dumps(value, default=str))
    except Exception as error:
        return [f"syntax: {error}"]
    found = []
    for error in validator.iter_errors(value):
        error = jsonschema.exceptions.best_match([error])
        path = ".".join(str(part) for part in error.absolute_path)
        found.append(f"{path}: {error.message[:200]}")
    return found


with open(sys.argv[1]) as file:
    schema = json.load(file)
validator = jsonschema.Draft7Validator(schema)
jsonschema.Draft7Validator.check_schema(schema)
print(json.dumps({name: errors(validator, name) for name in sys.argv[2:]}))
