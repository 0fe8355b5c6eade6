"""arms.py BROKERS: half the users are in arm b, which ranks without demand (popular, trending): their lists are never for it, the others' are; no user is in both."""
import json
import sys

import kafka

bad, users, lists, led = [], {}, {"a": 0, "b": 0}, {"a": 0, "b": 0}
for r in kafka.consume(sys.argv[1], "live.recommendations"):
    if not r["payload"]:
        continue
    value = json.loads(r["payload"])
    arm = value["arm"]
    if users.setdefault(value["user"], arm) != arm:
        bad.append(f"{value['user']} is in {users[value['user']]} and {arm}")
    codes = {reason["code"] for room in value["rooms"] for reason in room["reasons"]}
    lists[arm] += 1
    led[arm] += bool(codes & {"popular", "trending"})
    if arm == "b" and codes & {"popular", "trending"}:
        bad.append(f"arm b, {value['rec']}: {sorted(codes)}")
counts = {arm: sum(a == arm for a in users.values()) for arm in lists}
print("users", counts, "lists", lists, "of them for demand", led)
if min(counts.values()) < sum(counts.values()) / 4:
    bad.append("the arms are not halves")
if not led["a"]:
    bad.append("arm a ranks without demand too")
print("\n".join(bad[:20]))
sys.exit(1 if bad else 0)
