"""keys.py BROKERS REDIS_PORT SLUICE OPTIONS…: what stands in Redis under load is what config/redis-keys.json says, and no user id in the clear.

A marked user acts first, so that every kind of user view exists with a known id; then every key must match exactly one entry, with its
type, time to live (jittered), fields and bounds, and no value may hold the mark.
"""
import json
import re
import socket
import subprocess
import sys
import time

import kafka

BROKERS, PORT, SLUICE, *OPTIONS = sys.argv[1:]
MARK = "MarkedUser-77"
bad = []


class Redis:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", int(port)))
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.reply()

    def reply(self):
        line = self.file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return int(rest) if kind == b":" else rest


redis = Redis(PORT)


def all_keys():
    cursor, keys = b"0", set()
    while True:
        cursor, some = redis("SCAN", cursor, "COUNT", 1000)
        keys.update(some)
        if cursor == b"0":
            return keys


def act():
    """The marked user looks into every open room and buys something."""
    rooms = {}
    for r in kafka.consume(BROKERS, "live.catalog"):
        if r["key"].startswith("room:"):
            rooms[r["key"][5:]] = json.loads(r["payload"]) if r["payload"] else None
    events, now = [], int(time.time() * 1000)
    for n, (room, c) in enumerate(sorted(rooms.items())):
        if not c or c["status"] != "open" or not c.get("items"):
            continue
        base = {"v": 1, "user": MARK, "scene": c["scenes"][0], "room": room, "host": c["host"], "ts": now + n}
        events += [{**base, "id": f"a{n}", "type": "enter"}, {**base, "id": f"b{n}", "type": "cart", "item": c["items"][0]}]
    kafka.produce(BROKERS, [{"topic": "live.events", "key": MARK.encode(), "value": json.dumps(e).encode()} for e in events])


def value_of(key, kind):
    """(elements, all bytes of the value as a list, fields)"""
    if kind == "string":
        return 1, [redis("GET", key)], []
    if kind == "hash":
        flat = redis("HGETALL", key)
        return len(flat) // 2, flat, flat[::2]
    if kind == "zset":
        flat = redis("ZRANGE", key, 0, -1, "WITHSCORES")
        return len(flat) // 2, flat, []
    entries = redis("XRANGE", key, "-", "+")
    return len(entries), [part for entry in entries for part in entry[1]], [f for entry in entries for f in entry[1][::2]]


def check(key, entries, seen):
    name = key[len(b"sluice:"):].decode("latin-1")
    matching = [e for e in entries if re.search(e["pattern"], name)]
    if not key.startswith(b"sluice:") or len(matching) != 1:
        bad.append(f"{key!r} matches {[e['key'] for e in matching]}")
        return
    entry = matching[0]
    kind, ttl = redis("TYPE", key).decode(), redis("TTL", key)
    if kind == "none" or ttl == -2:
        return  # gone meanwhile
    elements, parts, fields = value_of(key, kind)
    seen.setdefault(entry["key"], []).append(ttl)
    if kind != entry["type"]:
        bad.append(f"{name}: {kind}, not {entry['type']}")
    if (ttl != -1) if entry["ttl_s"] == 0 else not 0 < ttl <= entry["ttl_s"] * 1.1 + 1:
        bad.append(f"{name}: TTL {ttl}, not {entry['ttl_s']}")
    if elements > entry["elements_max"] or (entry["bytes_max"] and sum(map(len, parts)) > entry["bytes_max"]):
        bad.append(f"{name}: {elements} elements, {sum(map(len, parts))} bytes")
    known = entry.get("fields")
    for field in {f.decode() for f in fields} if known else ():
        if not any(field == k or (k.endswith("*") and field.startswith(k[:-1])) for k in known):
            bad.append(f"{name}: field {field}")
    if any(MARK.encode() in p for p in [key, *parts]):
        bad.append(f"{name}: holds a user id")


def main():
    doc = json.load(open("config/redis-keys.json"))
    act()
    key = subprocess.run([SLUICE, "key", MARK, *OPTIONS], capture_output=True, text=True, check=True).stdout.strip()
    for kind in ("rec", "user"):
        if not kafka.wait_for(lambda: redis("EXISTS", f"sluice:{kind}:{key}")):
            bad.append(f"sluice:{kind}:{key} did not come")
    optional = {"history:<user>"}  # only where nothing is ranked
    needed = [re.compile(e["pattern"]) for e in doc["keys"] if e["key"] not in optional]
    kafka.wait_for(lambda: all(any(p.search(k[len(b"sluice:"):].decode("latin-1")) for k in all_keys()) for p in needed))
    seen = {}
    keys = all_keys()
    for key in keys:
        check(key, doc["keys"], seen)
    for entry in doc["keys"]:
        ttls = seen.get(entry["key"], [])
        if not ttls and entry["key"] not in optional:
            bad.append(f"{entry['key']}: no such key")
        if entry["ttl_s"] and len(ttls) > 30 and max(ttls) - min(ttls) < entry["ttl_s"] / 50:
            bad.append(f"{entry['key']}: times to live are not spread: {min(ttls)} to {max(ttls)}")
    told = redis("HGETALL", "sluice:catalogue")
    if dict(zip(told[::2], told[1::2])) != {e["key"].encode(): e["text"].encode() for e in doc["keys"]}:
        bad.append("the catalogue in Redis is not that of the file")
    print(f"{len(keys)} keys, of kinds:", {k: len(v) for k, v in seen.items()})
    print("\n".join(bad[:40]))
    return 1 if bad else 0


sys.exit(main())
