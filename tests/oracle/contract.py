"""Which records of live.events are taken, and why the others are not: config/schemas/live.events.json, read as people read it."""
import json
import os
import re

CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "config")
ID = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
CODE = re.compile(r"[A-Z]{3}\Z")


class Refused(Exception):
    """A dead letter. Where a record has several faults, any of the reasons is right."""
    def __init__(self, *reasons):
        super().__init__(", ".join(reasons))
        self.reasons = set(reasons)


def load(name):
    with open(os.path.join(CONFIG, name)) as file:
        return json.load(file)


def merge(base, over):
    """Settings of a file over the defaults; the table of currencies is taken as a whole."""
    out = dict(base)
    for name, value in over.items():
        whole = name == "currencies" or not isinstance(value, dict) or not isinstance(base.get(name), dict)
        out[name] = value if whole else merge(base[name], value)
    return out


SCHEMA = load("schemas/live.events.json")
FIELDS = SCHEMA["properties"]
TYPES = set(FIELDS["type"]["enum"])
NEEDS = {}
for rule in SCHEMA["allOf"]:
    for name in rule["if"]["properties"]["type"]["enum"]:
        NEEDS[name] = rule["then"]


def no_twice(pairs):
    out = {}
    for name, value in pairs:
        if name in out:
            raise ValueError("twice")
        out[name] = value
    return out


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


def keys_in(value):
    if isinstance(value, dict):
        return len(value) + sum(map(keys_in, value.values()))
    return sum(map(keys_in, value)) if isinstance(value, list) else 0


def bad_constant(_):
    raise ValueError("constant")


def faults_of(event, key):
    out = set()
    for name in SCHEMA["required"]:
        if name not in event:
            out.add("missing_field")
    if event.get("v", 1) != 1 or isinstance(event.get("v"), (bool, float)):
        out.add("bad_version")
    for name, value in event.items():
        if name in FIELDS and name != "v":
            out |= fault_of(name, FIELDS[name], value)
    if isinstance(event.get("type"), str) and event["type"] in NEEDS:
        out |= ids_missing(event, NEEDS[event["type"]])
    if isinstance(event.get("user"), str) and (key is None or event["user"].encode() != key):
        out.add("key_mismatch")
    return out


def is_text(value):
    return isinstance(value, str) and 1 <= len(value.encode("utf-8", "surrogatepass")) <= 64


def fault_of(name, field, value):
    if name == "type":
        return set() if isinstance(value, str) and value in TYPES else {"bad_type"} if is_text(value) else {"bad_id"}
    if field["type"] == "integer":
        fine = isinstance(value, int) and not isinstance(value, bool) and field["minimum"] <= value <= field["maximum"]
        return set() if fine else {"bad_value"}
    if "pattern" in field:
        if name == "currency":
            return set() if isinstance(value, str) and CODE.match(value) else {"bad_value", "unknown_currency"} if is_text(value) else {"bad_id"}
        return set() if isinstance(value, str) and ID.match(value) else {"bad_id"}
    return set() if is_text(value) else {"bad_id"}


def ids_missing(event, needs):
    if any(name not in event for name in needs.get("required", ())):
        return {"missing_field"}
    for word, right in (("anyOf", lambda n: n >= 1), ("oneOf", lambda n: n == 1)):
        if word in needs and not right(sum(all(n in event for n in one["required"]) for one in needs[word])):
            return {"missing_field", "bad_value"}
    return set()


def decode(key, value):
    if value is None:
        raise Refused("malformed", "missing_field")
    if len(value) > 16384:
        raise Refused("too_large")
    try:
        event = json.loads(value.decode("utf-8"), object_pairs_hook=no_twice, parse_constant=bad_constant)
    except (ValueError, RecursionError):
        raise Refused("malformed", "too_complex") from None
    if not isinstance(event, dict):
        raise Refused("malformed")
    faults = faults_of(event, key)
    if depth(event) > 8 or keys_in(event) > 64:
        faults.add("too_complex")
    if faults:
        raise Refused(*faults)
    return event
