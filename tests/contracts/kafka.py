"""Records in through tests/contracts/produce, out through kcat; schemas with the two things JSON Schema leaves open."""
import json
import os
import subprocess
import time

import jsonschema

BUILD = os.environ.get("SLUICE_BUILD", "build")
SCHEMAS = "config/schemas"


def produce(brokers, records):
    """records: dicts of topic, key, value (bytes or None), headers (dict), ts (ms)."""
    lines = []
    for r in records:
        parts = [r["topic"], str(r.get("ts", 0))]
        parts += ["-" if r.get(f) is None else r[f].hex() or "00"[:0] for f in ("key", "value")]
        parts += [f"{name}={value}" for name, value in r.get("headers", {}).items()]
        lines.append("\t".join(parts))
    subprocess.run([f"{BUILD}/tests/produce", brokers], input="\n".join(lines).encode() + b"\n", check=True)


def consume(brokers, topic):
    """Everything that stands in the topic: dicts with partition, offset, ts, key, payload (texts or None), headers (dict)."""
    out = subprocess.run(["kcat", "-C", "-q", "-b", brokers, "-t", topic, "-o", "beginning", "-e", "-J", "-X", "fetch.wait.max.ms=10", "-X", "check.crcs=false"],
                         capture_output=True, check=True, timeout=120).stdout.decode("utf-8", "surrogateescape")
    records = []
    for line in out.splitlines():
        try:
            record = json.loads(line, strict=False)
        except ValueError: # kcat writes bytes that are no text as they are
            continue
        names = record.get("headers") or []
        record["headers"] = dict(zip(names[::2], names[1::2]))
        records.append(record)
    return records


def _bytes_max(validator, limit, instance, schema):
    if isinstance(instance, str) and len(instance.encode("utf-8", "surrogatepass")) > limit:
        yield jsonschema.ValidationError(f"more than {limit} bytes")


_checker = jsonschema.Draft7Validator.TYPE_CHECKER.redefine("integer", lambda checker, x: isinstance(x, int) and not isinstance(x, bool))
Validator = jsonschema.validators.extend(jsonschema.Draft7Validator, {"x-max-bytes": _bytes_max}, type_checker=_checker)


def _closed(schema):
    """The same, and nothing that it does not name: an output must not have a field that is not documented."""
    if isinstance(schema, list):
        return [_closed(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    out = {name: _closed(s) for name, s in schema.items()}
    if "properties" in out and "additionalProperties" not in out:
        out["additionalProperties"] = False
    return out


def validator(name, closed=False):
    with open(f"{SCHEMAS}/{name}.json") as file:
        schema = json.load(file)
    Validator.check_schema(schema)
    return Validator(_closed(schema) if closed else schema)


PATIENCE_S = 60  # a shared machine may stand still for many seconds


def wait_for(what):
    end = time.time() + PATIENCE_S
    while time.time() < end:
        if what():
            return True
        time.sleep(0.2)
    return what()
