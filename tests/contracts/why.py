"""why.py BROKERS REDIS SLUICE OPTIONS…: what `inspect user --why` says on a real store: parts and shares add up, what was sent is known, and what may not be offered says why."""
import json
import subprocess
import sys
import time

import kafka

BROKERS, REDIS, SLUICE, *OPTIONS = sys.argv[1:]
EXCUSES = {"listed", "outranked", "not_a_candidate", "host_cap", "category_cap", "shown_lately", "owned", "blocked", "disliked", "restricted", "prerequisite", "closed",
           "other_scene", "nothing_on_offer", "unknown"}
USER = "WhyUser"
bad, verdicts, asked = [], {}, 0


def inspect(user, *more):
    run = subprocess.run([SLUICE, "inspect", "user", user, *more, "-o", "json", "--brokers", BROKERS, "--redis", REDIS, *OPTIONS], capture_output=True, text=True)
    if run.returncode:
        bad.append(f"{user} {more}: exit code {run.returncode}: {run.stderr[-300:]}")
    return json.loads(run.stdout) if run.returncode == 0 else {}


def ask(user, entity):
    global asked
    asked += 1
    why = inspect(user, "--why", entity).get("why")
    if not why:
        return {}
    verdicts[why["verdict"]] = verdicts.get(why["verdict"], 0) + 1
    where = f"{user} {entity}"
    if why["verdict"] not in EXCUSES or not why["text"]:
        bad.append(f"{where}: verdict {why['verdict']}")
    if (why["verdict"] == "listed") != ("place" in why) or (why["verdict"] == "listed" and "score" not in why):
        bad.append(f"{where}: {why}")
    if "score" in why:
        total = sum(p["part"] for p in why["parts"])
        if abs(total - why["score"]) > 1e-9:
            bad.append(f"{where}: the parts are {total}, the score {why['score']}")
        for part in why["parts"]:
            if "from" in part and why["kind"] != "host" and abs(sum(f["part"] for f in part["from"]) - part["part"]) > 1e-4:
                bad.append(f"{where}: {part}")
    return why


def act(scene, rooms):
    """A user of our own, who has an item, wants nothing of a host, and was shown some rooms."""
    now = int(time.time() * 1000)
    base = {"v": 1, "user": USER, "scene": scene}
    events = [{"type": "purchase", "item": rooms[0]["item"], "order": "why-1", "amount": 100, "currency": "CNY"}, {"type": "block", "host": rooms[1]["host"]}]
    events += [{"type": "impression", "room": r["id"]} for r in rooms[2:]]
    kafka.produce(BROKERS, [{"topic": "live.events", "key": USER.encode(), "value": json.dumps({**base, **e, "id": f"why{n}", "ts": now + n}).encode()} for n, e in enumerate(events)])


def main():
    lists = {}
    for r in kafka.consume(BROKERS, "live.recommendations"):
        if r["payload"]:
            lists[r["key"]] = json.loads(r["payload"])
    full = [u for u, v in sorted(lists.items()) if len(v["rooms"]) > 5 and len(v["items"]) > 2 and v["hosts"] and v["scene"] == lists[min(lists)]["scene"]]
    if len(full) < 3:
        bad.append(f"{len(full)} users were sent full lists")
        return
    newest = max(lists.values(), key=lambda v: v["ts"])
    act(newest["scene"], [r for r in newest["rooms"] if "item" in r])
    for user in full[:2]:
        told = inspect(user).get("recommendations", {})  # the view, which may be older than the last list
        for kind in ("room", "item", "host"):
            if told.get(kind + "s"):
                why = ask(user, f"{kind}:{told[kind + 's'][0]['id']}")
                same = inspect(user).get("recommendations", {}).get("ts") == told["ts"]
                if same and why.get("sent", {}).get("place") != 1:
                    bad.append(f"{user} {kind}: what was sent is not known")
    rooms = [r for r in newest["rooms"] if "item" in r]
    if not kafka.wait_for(lambda: ask(USER, "item:" + rooms[0]["item"]).get("verdict") == "owned"):
        bad.append(f"{USER} bought {rooms[0]['item']}: {verdicts}")
    if not kafka.wait_for(lambda: ask(USER, "host:" + rooms[1]["host"]).get("verdict") == "blocked"):
        bad.append(f"{USER} blocked {rooms[1]['host']}: {verdicts}")
    if not kafka.wait_for(lambda: any(ask(USER, r["id"]).get("verdict") == "shown_lately" for r in rooms[2:])):
        bad.append(f"{USER} was shown rooms: {verdicts}")
    told = [json.loads(r["payload"]) for r in kafka.consume(BROKERS, "live.recommendations") if r["key"] == USER and r["payload"]]
    if not told or not any(ask(USER, r["id"]).get("verdict") == "listed" for r in told[-1]["rooms"]):
        bad.append(f"{USER}: nothing that was sent is listed: {verdicts}")
    if ask(USER, "nowhere").get("verdict") != "unknown":
        bad.append("a stranger is known")
    print(asked, "asked:", verdicts)


main()
print("\n".join(bad[:20]))
sys.exit(1 if bad else 0)
