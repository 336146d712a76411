"""The OpenAPI document by openapi-spec-validator, and the schemas with their examples by jsonschema.

openapi.py PROTOCOL-FOLDER; prints what is wrong and ends with 1, or "valid".
"""
import json, pathlib, sys

import jsonschema
import openapi_spec_validator
from openapi_spec_validator.readers import read_from_filename

folder = pathlib.Path(sys.argv[1]).resolve()
faults = []

spec, base = read_from_filename(str(folder / "openapi.yaml"))
try:
    for error in openapi_spec_validator.OpenAPIV31SpecValidator(spec, base_uri=base).iter_errors():
        faults.append(f"openapi.yaml {error.json_path}: {error.message}")
except Exception as error:  # a reference into nothing ends the walk
    faults.append(f"openapi.yaml: {type(error).__name__}: {error}")

for schema, examples in json.loads((folder / "examples/index.json").read_text()).items():
    schema = json.loads((folder / "schema" / schema).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for example in examples:
        for error in validator.iter_errors(json.loads((folder / "examples" / example).read_text())):
            faults.append(f"{example}: {error.json_path}: {error.message}")

print("\n".join(faults) or "valid")
sys.exit(bool(faults))
