"""outputs.py BROKERS REDIS_PORT PREFIX_KEY: what a daemon under load sent follows the schemas, and has no field they do not name."""
import json
import subprocess
import sys
import time

import kafka

BROKERS, REDIS, SLUICE = sys.argv[1:4]
KEYS = {
    "live.recommendations": lambda v: v["user"], "live.traffic": lambda v: f"{v['scene']}|{v['room']}", "live.traffic.snapshot": lambda v: v["scene"],
    "live.segments": lambda v: v["user"], "live.hosts": lambda v: f"{v['scene']}|{v['item']}", "live.alerts": lambda v: v["scene"],
}
bad = []


def outputs(last=False):
    counts = {}
    for topic, key_of in KEYS.items():
        schema = kafka.validator(topic, closed=True)
        newest = {}
        records = kafka.consume(BROKERS, topic)
        for r in records:
            where = f"{topic} {r['partition']}:{r['offset']}"
            if r["payload"] is None:
                newest.pop(r["key"], None)
                continue
            value = json.loads(r["payload"])
            bad.extend(f"{where}: {e.json_path}: {e.message[:200]}" for e in schema.iter_errors(value))
            if key_of(value) != r["key"]:
                bad.append(f"{where}: key {r['key']}")
            if topic in ("live.recommendations", "live.traffic") and value["version"] < newest.get(r["key"], [0]):
                bad.append(f"{where}: version {value['version']} after {newest[r['key']]}")
            newest[r["key"]] = value["version"]
            if "valid_until" in value and value["valid_until"] <= value["ts"]:
                bad.append(f"{where}: valid_until is not behind ts")
        counts[topic] = len(records)
        if not records and (topic != "live.alerts" or last):
            bad.append(f"{topic}: nothing came out")
    return counts


def redis(*words):
    return subprocess.run(["redis-cli", "-p", REDIS, *words], capture_output=True, text=True, check=True).stdout.strip()


def answered():
    """Controls: applied, refused by its scene, refused before; each answered on live.alerts and in the stream of decisions."""
    base = {"v": 1, "scene": "home", "by": "ops", "why": "test"}
    asked = {"a1": ({**base, "id": "a1", "op": "freeze", "until": int(time.time() * 1000) + 60000}, "applied"), "a2": ({**base, "id": "a2", "op": "pin", "room": "none", "value": 0.5}, "no_such_room"),
             "a3": ({**base, "id": "a3", "op": "pin", "room": "none"}, "bad_value"), "a4": ({**base, "id": "a4", "op": "hold", "room": "none"}, "unknown_op")}
    kafka.produce(BROKERS, [{"topic": "live.control", "key": b"home", "value": json.dumps(c).encode()} for c, want in asked.values()])
    have = {}

    def arrived():
        for r in kafka.consume(BROKERS, "live.alerts"):
            value = json.loads(r["payload"])
            if value["kind"] == "control":
                have[value["id"]] = value["answer"]
        return set(asked) <= set(have)
    kafka.wait_for(arrived)
    for id, (control, want) in asked.items():
        if have.get(id) != want:
            bad.append(f"control {id}: {have.get(id)}, expected {want}")
        if not kafka.wait_for(lambda: f'"id":"{id}"' in redis("XREVRANGE", "sluice:decisions", "+", "-", "COUNT", "1000")):
            bad.append(f"control {id}: not among the decisions")


def forgotten():
    """A user who is told something is told nothing any more, and no view of theirs stays."""
    told = [r["key"] for r in kafka.consume(BROKERS, "live.recommendations") if r["payload"]][-1:]
    user = told[0]
    key = subprocess.run([SLUICE, "key", user, *sys.argv[4:]], capture_output=True, text=True, check=True).stdout.strip()
    now = int(time.time() * 1000)
    # What is done just before must not make a ranking come behind the tombstone.
    acts = [("like", {"host": f"h{n}"}) for n in range(5)] + [("forget", {})]
    kafka.produce(BROKERS, [{"topic": "live.events", "key": user.encode(),
                             "value": json.dumps({"v": 1, "id": f"last{n}", "ts": now + n, "type": kind, "user": user, "scene": "home", **more}).encode()} for n, (kind, more) in enumerate(acts)])

    def last(topic):
        of = [r for r in kafka.consume(BROKERS, topic) if r["key"] == user]
        return of and of[-1]["payload"] is None
    for topic in ("live.recommendations", "live.segments"):
        if not kafka.wait_for(lambda: last(topic)):
            bad.append(f"{topic}: no tombstone for {user}")
    time.sleep(1.5)
    for topic in ("live.recommendations", "live.segments"):
        if not last(topic):
            bad.append(f"{topic}: {user} is told something after the tombstone")
    for kind in ("rec", "user"):
        if not kafka.wait_for(lambda: redis("EXISTS", f"sluice:{kind}:{key}") == "0"):
            bad.append(f"sluice:{kind}:{key} is still there")


def asyncapi():
    doc = json.load(open("config/asyncapi.json"))
    described = {c["address"]: c for c in doc["channels"].values()}
    used = {op["channel"]["$ref"].rsplit("/", 1)[1] for op in doc["operations"].values()}
    if used != set(doc["channels"]):
        bad.append("asyncapi: a channel without operation")
    for op in doc["operations"].values():
        address = doc["channels"][op["channel"]["$ref"].rsplit("/", 1)[1]]["address"]
        want = "receive" if address in ("live.events", "live.catalog", "live.control") else "send"
        if op["action"] != want:
            bad.append(f"asyncapi: {address} is {op['action']}")
    listed = json.load(open("config/sluice.json"))["kafka"]["topics"]
    public = {name for name in (listed.values() if isinstance(listed, dict) else listed) if name.startswith("live.")}
    if set(described) != public:
        bad.append(f"asyncapi: channels {sorted(set(described) ^ public)}")
    for address, channel in described.items():
        for message in channel["messages"].values():
            refs = [message["payload"].get("schema", {}).get("$ref"), message.get("headers", {}).get("$ref")]
            for ref in filter(None, refs):
                json.load(open(f"config/{ref}"))


outputs()
answered()
forgotten()
asyncapi()
counts = outputs(last=True)
print(counts)
print("\n".join(bad[:40]))
sys.exit(1 if bad else 0)
