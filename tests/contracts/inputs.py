"""inputs.py BROKERS: what the daemon takes and refuses, with the reason, is what the schemas say.

Every case is produced with a header that names it. What comes to live.deadletter must be exactly the cases that the schema calls
invalid (or that a rule beyond JSON Schema refuses, named in the table), unchanged, under the reason in the table.
"""
import json
import sys
import time

import kafka

BROKERS = sys.argv[1]
NOW = int(time.time() * 1000)
TYPES = {
    "impression": {"room": "r1"}, "click": {"item": "c1"}, "enter": {"room": "r1"}, "leave": {"room": "r1"}, "watch": {"room": "r1", "dwell_ms": 5000},
    "chat": {"room": "r1"}, "question": {"room": "r1"}, "like": {"host": "h1"}, "share": {"room": "r1"}, "follow": {"host": "h1"}, "unfollow": {"host": "h1"},
    "browse": {"item": "c1"}, "cart": {"item": "c1"}, "vote": {"room": "r1", "option": "yes"}, "gift": {"room": "r1", "amount": 100, "currency": "CNY"},
    "trial": {"item": "c1"}, "purchase": {"item": "c1", "order": "o1", "amount": 100, "currency": "CNY"}, "refund": {"order": "o1", "amount": 1},
    "rating": {"item": "c1", "value": 5}, "progress": {"item": "c1", "percent": 100}, "dislike": {"item": "c1"}, "block": {"host": "h9"}, "forget": {},
}
BEYOND = "beyond"  # a rule that JSON Schema cannot say
cases = []         # (name, record, reason or None, schema or BEYOND)


def event(kind, **changes):
    n = len(cases)
    e = {"v": 1, "id": f"e{n}", "ts": NOW, "type": kind, "user": f"u{n}", "scene": "home", **TYPES.get(kind, {})}
    e.update(changes)
    return {k: v for k, v in e.items() if v is not ...}


def add(name, e, reason=None, schema="live.events", raw=None, key=None, ts=0):
    value = raw if raw is not None else json.dumps(e, ensure_ascii=False).encode("utf-8", "surrogatepass")
    user = e.get("user") if isinstance(e, dict) else None
    key = key if key is not None else (user if isinstance(user, str) else "u").encode()
    cases.append((name, {"topic": "live.events", "key": key, "value": value, "ts": ts, "headers": {"case": str(len(cases)), "other": "kept"}}, reason, schema, e))


def add_events():
    for kind in TYPES:
        user = f"buyer{len(cases)}"
        if kind == "refund":
            add("order to refund", event("purchase", user=user))
        add(kind, event(kind, user=user))
        for field in ("v", "id", "ts", "type", "user", "scene", *TYPES[kind]):
            add(f"{kind} without {field}", event(kind, **{field: ...}), "missing_field")
    for kind in ("dislike", "block"):
        add(f"{kind} of two", event(kind, room="r1", host="h1", item=...), "missing_field")
        add(f"{kind} of a room", event(kind, room="r1", host=..., item=...))
    every = event("purchase", order="o2")
    texts = ("id", "type", "user", "scene", "room", "host", "item", "explaining", "rec", "order", "option", "currency", "source")
    names = ("user", "scene", "room", "host", "item", "explaining")
    for field in texts:
        for what, value in (("empty", ""), ("a number", 7), ("null", None), ("too long", "x" * 65), ("an array", ["x"]), ("too many bytes", "字" * 22)):
            e = {**every, "id": f"e{len(cases)}", field: value}
            add(f"{field}: {what}", e, "bad_id", key=(e["user"] if isinstance(e["user"], str) else "u").encode()[:60] if field != "user" else None)
    for field in names:
        for value in ("a b", "ä", "x\n", "a|b", "a:b", "\0", "x\u202e"):
            add(f"{field}: {value!r}", {**every, "id": f"e{len(cases)}", field: value}, "malformed" if value == "\0" else "bad_id") # as jansson has it
        add(f"{field}: 64 bytes", {**event("cart"), field: "A-z_9." + "x" * 58})
    for field, bad, good in (("ts", (0, -1, 2 ** 53 + 1), ()), ("amount", (-1, 2 ** 53 + 1), (0,)), ("qty", (0, 1000001), (1, 1000000)), ("dwell_ms", (-1, 2 ** 31), (0, 2 ** 31 - 1)),
                             ("value", (0, 6), (1, 5)), ("percent", (-1, 101), (0, 100)), ("pos", (-1, 65536), (0, 65535))):
        for value in (*bad, 1.5, 1.0, "1", None, True, [1]):
            add(f"{field}: {value!r}", {**every, "id": f"e{len(cases)}", field: value}, "bad_value")
        for value in good:
            add(f"{field}: {value!r}", event("purchase", order=f"o{len(cases)}", **{field: value}))
    for value in (2, 0, "1", None, 1.0, True):
        add(f"v: {value!r}", event("chat", v=value), "bad_version")
    for value in ("cny", "CN", "CNYX", "C1Y", "CN\n"):
        add(f"currency: {value!r}", event("purchase", currency=value), "bad_value")
    for value in ("Watch", "purchased", "x"):
        add(f"type: {value}", event("chat", type=value), "bad_type")
    add("unknown fields", event("chat", more={"a": [1, None, {"b": 2.5}]}, pos=3, source="ad"))
    add("an id of any text", event("chat", id="事件 #1 \"quoted\" \\"))
    for name, raw in (("an array", b"[]"), ("a number", b"7"), ("nothing", b""), ("no JSON", b"{"), ("two values", b"{}{}"), ("a NUL", b"{\"v\":1}\0"), ("no UTF-8", b"{\"v\":\"\xff\"}")):
        add(name, None, "malformed", schema="live.events" if raw in (b"[]", b"7") else BEYOND, raw=raw)
    text = json.dumps(event("chat"))
    add("a key twice", None, "malformed", BEYOND, raw=text.replace('"v"', '"v":1,"v"', 1).encode())
    add("16,385 bytes", None, "too_large", BEYOND, raw=(text + " " * (16385 - len(text))).encode())
    add("9 levels", None, "too_complex", BEYOND, raw=text[:-1].encode() + b',"a":' + b"[" * 8 + b"]" * 8 + b"}")
    add("65 keys", None, "too_complex", BEYOND, raw=json.dumps({**event("chat"), **{f"k{i}": i for i in range(59)}}).encode())
    add("the key is another user", event("chat"), "key_mismatch", BEYOND, key=b"somebody")
    add("no key", event("chat"), "key_mismatch", BEYOND, key=b"")
    add("24 h late", event("chat", ts=NOW - 86400000), None, ts=NOW)
    add("later than 24 h", event("chat", ts=NOW - 86400001), "late", BEYOND, ts=NOW)
    add("5 min ahead", event("chat", ts=NOW + 300000), None, ts=NOW)
    add("further ahead", event("chat", ts=NOW + 300001), "early", BEYOND, ts=NOW)
    add("a currency nobody set", event("gift", currency="ZZZ"), "unknown_currency", BEYOND)
    add("over the cap", event("gift", amount=10000001), "amount_too_large", BEYOND)
    add("an order nobody knows", event("refund", order="never"), "unknown_order", BEYOND)
    user = f"u{len(cases)}"
    add("an order", event("purchase", user=user, order="mine", amount=10))
    add("more than was paid", event("refund", user=user, order="mine", amount=11), "refund_exceeds", BEYOND)
    add("another currency", event("refund", user=user, order="mine", amount=1, currency="USD"), "currency_mismatch", BEYOND)
    add("a megabyte", None, "too_large", BEYOND, raw=b"x" * 1040000, key=b"k" * 100)


def add_table(topic, schema, key, good, bad, prefix, beyond):
    for n, value in enumerate([good] + [{**good, **{f: v}} for f, v in (("unknown", [1]),)]):
        add(f"{schema} {n}", value, None, schema, key=key)
        cases[-1][1]["topic"] = topic
    for changes, reason in bad:
        value = {k: v for k, v in {**good, **changes}.items() if v is not ...}
        add(f"{schema} {changes}", value, prefix + reason, schema, key=key)
        cases[-1][1]["topic"] = topic
    for name, raw, bad_key, reason in beyond:
        add(f"{schema} {name}", None, prefix + reason, BEYOND, raw=raw, key=bad_key or key)
        cases[-1][1]["topic"] = topic


def add_tables():
    room = {"v": 1, "host": "h1", "scenes": ["home"], "status": "open", "title": "t", "category": "code", "tags": ["c"], "items": ["c1"], "explaining": "c1", "slot_cost": 5}
    item = {"v": 1, "title": "t", "category": "code", "tags": ["c"], "format": "course", "price": 9900, "currency": "CNY", "level": 1, "series": "s", "requires": ["c0"],
            "restricted": False, "embedding": [0.5, -1]}
    host = {"v": 1, "domains": ["code"], "style": ["calm"], "fans": 10, "commission_bp": 2000, "bonus": 5}
    raw = [("no JSON", b"{", None, "malformed"), ("an array", b"[]", None, "malformed"), ("a key twice", b'{"v":1,"v":1}', None, "malformed"),
           ("a key of no kind", b'{"v":1}', b"thing:x", "bad_key"), ("an id of no characters", b'{"v":1}', b"item:a b", "bad_key"), ("too large", b'{"v":1,"a":"' + b"x" * 32768 + b'"}', None, "too_large")]
    v = [({"v": 2}, "bad_version"), ({"v": "1"}, "bad_version"), ({"v": ...}, "bad_version")]
    many = [f"t{i}" for i in range(17)]
    add_table("live.catalog", "live.catalog.room", b"room:rx", room, v + [({"status": ...}, "missing_field"), ({"status": "live"}, "bad_value"), ({"host": ...}, "missing_field"),
              ({"scenes": ...}, "missing_field"), ({"scenes": "home"}, "bad_value"), ({"scenes": ["a b"]}, "bad_value"), ({"scenes": many[:9]}, "bad_value"), ({"tags": many}, "bad_value"),
              ({"tags": [""]}, "bad_value"), ({"tags": ["x" * 65]}, "bad_value"), ({"items": [7]}, "bad_value"), ({"explaining": ""}, "bad_value"), ({"slot_cost": -1}, "bad_value"),
              ({"slot_cost": 1.5}, "bad_value"), ({"category": "x" * 65}, "bad_value"), ({"host": "a b"}, "bad_value"), ({"host": None}, "missing_field")], "catalog_", raw)
    add_table("live.catalog", "live.catalog.room", b"room:ry", {"v": 1, "status": "closed"}, [], "catalog_", [])
    add_table("live.catalog", "live.catalog.item", b"item:cx", item, v + [({"format": "film"}, "bad_value"), ({"format": ...}, "missing_field"), ({"price": -1}, "bad_value"), ({"level": 101}, "bad_value"),
              ({"requires": many[:9]}, "bad_value"), ({"restricted": 1}, "bad_value"), ({"embedding": ["x"]}, "bad_value"), ({"embedding": [0] * 257}, "bad_value"), ({"embedding": [2e6]}, "bad_value")], "catalog_", [])
    add_table("live.catalog", "live.catalog.host", b"host:hx", host, v + [({"fans": -1}, "bad_value"), ({"commission_bp": 10001}, "bad_value"), ({"bonus": "5"}, "bad_value"), ({"domains": [None]}, "bad_value")], "catalog_", [])
    pin = {"v": 1, "id": "k1", "scene": "home", "op": "pin", "room": "rz", "value": 0.5, "by": "ops", "why": "test"}
    later = NOW + 3600000
    add_table("live.control", "live.control", b"home", pin, v_of_control() + [({"id": ...}, "bad_id"), ({"id": "a b"}, "bad_id"), ({"scene": ...}, "bad_scene"), ({"op": "hold"}, "unknown_op"), ({"op": ...}, "unknown_op"),
              ({"room": ...}, "bad_room"), ({"room": "a b"}, "bad_room"), ({"value": ...}, "bad_value"), ({"value": "1"}, "bad_value"), ({"value": -1}, "bad_value"), ({"until": -1}, "bad_until"),
              ({"until": "now"}, "bad_until"), ({"by": 7}, "bad_text"), ({"why": "x" * 257}, "bad_text"), ({"op": "guarantee", "value": 1.5}, "bad_value"), ({"op": "guarantee", "value": 10}, "bad_until")],
              "control_", [("no JSON", b"{", None, "malformed"), ("too large", b'{"v":1,"a":"' + b"x" * 16384 + b'"}', None, "too_large")])
    for n, op in enumerate(("freeze", "resume", "kill", "cost", "guarantee", "boost", "cap", "floor")):
        room_of = {} if op in ("freeze", "resume") else {"room": "rz"}
        value = {"value": 5} if op in ("cost", "guarantee") else {"value": 0.5} if op not in ("freeze", "resume", "kill") else {}
        add(f"control {op}", {"v": 1, "id": f"op{n}", "scene": "home", "op": op, "until": later, **room_of, **value}, None, "live.control", key=b"home")
        cases[-1][1]["topic"] = "live.control"


def v_of_control():
    return [({"v": 2}, "unknown_version"), ({"v": "1"}, "unknown_version"), ({"v": ...}, "unknown_version")]


def main():
    validators = {name: kafka.validator(name) for name in ("live.events", "live.catalog.room", "live.catalog.item", "live.catalog.host", "live.control")}
    headers = kafka.validator("live.deadletter.headers")
    add_events()
    add_tables()
    bad = []
    for name, record, reason, schema, value in cases:
        if schema != BEYOND:
            valid = validators[schema].is_valid(value if value is not None else json.loads(record["value"]))
            if valid != (reason is None):
                bad.append(f"{name}: the schema says {'valid' if valid else 'invalid'}, expected {reason or 'accepted'}")
    kafka.produce(BROKERS, [c[1] for c in cases])
    refused = {n for n, c in enumerate(cases) if c[2]}
    letters = {}

    def case_of(letter):
        if "__errors.truncated" in letter["headers"]: # its own headers are left out
            return next(n for n, c in enumerate(cases) if c[0] == "a megabyte")
        return int(letter["headers"].get("case", -1))

    def arrived():
        letters.update({case_of(r): r for r in kafka.consume(BROKERS, "live.deadletter")})
        return refused <= set(letters)
    kafka.wait_for(arrived)
    time.sleep(1)
    arrived()
    for n, (name, record, reason, schema, value) in enumerate(cases):
        letter = letters.get(n)
        have = letter["headers"].get("__errors.exception") if letter else None
        if have != reason:
            bad.append(f"{name}: {have or 'accepted'}, expected {reason or 'accepted'}")
        if not letter:
            continue
        own = {h: v for h, v in letter["headers"].items() if h.startswith("__errors.")}
        bad += [f"{name}: headers: {e.message}" for e in headers.iter_errors(own)]
        if own.get("__errors.topic") != record["topic"]:
            bad.append(f"{name}: topic {own.get('__errors.topic')}")
        if "__errors.truncated" in own:
            if own["__errors.truncated"] != str(len(record["value"])) or not record["value"].startswith(letter["payload"].encode()) or letter["key"].encode() != record["key"]:
                bad.append(f"{name}: cut wrongly")
            continue
        if (letter["key"] or "").encode("utf-8", "surrogateescape") != record["key"]:
            bad.append(f"{name}: the key changed")
        if (letter["payload"] or "").encode("utf-8", "surrogateescape") != record["value"] and b"\0" not in record["value"]:
            bad.append(f"{name}: the value changed")
        if letter["headers"].get("other") != "kept":
            bad.append(f"{name}: its own headers are gone")
    print(f"{len(cases)} cases, {len(refused)} of them refused, {len(letters)} letters")
    print("\n".join(bad[:40]))
    return 1 if bad else 0


sys.exit(main())
