"""audit.py BROKERS SLUICE: logs that keep every rule, then one violation planted for each; `sluice audit` finds exactly those."""
import itertools
import json
import pathlib
import subprocess
import sys
import time

import kafka

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "oracle"))
import fold  # noqa: E402

BROKERS, SLUICE = sys.argv[1:]
NOW = int(time.time() * 1000)
USER = "u1"


def record(topic, key, value, ts=NOW):
    return {"topic": topic, "key": key.encode(), "value": json.dumps(value).encode() if value is not None else None, "ts": ts}


def room(id, host, category, status="open", ts=NOW - 3600000):
    return record("live.catalog", f"room:{id}", {"v": 1, "status": status, "host": host, "scenes": ["home"], "category": category}, ts)


def place(id, host=None, item=None, score=0.5):
    out = {"id": id, "score": score, "propensity": 1, "reasons": [{"code": "popular", "part": 0.3}, {"code": "explore", "part": score - 0.3}]}
    return {**out, **({"host": host} if host else {}), **({"item": item} if item else {})}


def recommend(rooms=(), items=(), hosts=(), after=10 ** 6):
    return record("live.recommendations", USER, {"v": 1, "rec": f"0-{after}-1-0", "user": USER, "scene": "home", "ts": NOW, "valid_until": NOW + 1000, "version": [after, 1, 0],
                                                 "arm": "a", "rooms": list(rooms), "items": list(items), "hosts": list(hosts)})


def snapshot(*weights, held=False):
    return record("live.traffic.snapshot", "home", {"v": 1, "scene": "home", "ts": NOW, "version": [1, 1, 0], "valid_until": NOW + 1000,
                                                    "rooms": [{"id": r, "weight": w, "tier": "B", **({"held": True} if held else {})} for r, w in weights]})


def tick(offset, scene, *weights, code="gpm", ts=None):
    ts = ts or NOW + offset * 1000
    return [record("live.traffic", f"{scene}|{r}", {"v": 1, "scene": scene, "ts": ts, "version": [offset, 1, n], "valid_until": ts + 1, "room": r, "host": "h", "weight": w,
                                                    "propensity": w, "tier": "B", "score": 1, "reasons": [{"code": code, "part": 0}]}, ts) for n, (r, w) in enumerate(weights)]


def event(n, type, **more):
    return record("live.events", USER, {"v": 1, "id": f"e{n}", "ts": NOW - 1000 + n, "type": type, "user": USER, "scene": "home", **more})


def ids_taken_for_each_other():
    seen = {}
    for n in itertools.count():
        other = seen.setdefault(fold.tag_of(f"i{n}"), n)
        if other != n:
            return f"i{other}", f"i{n}"


def audit():
    out = subprocess.run([SLUICE, "audit", "--brokers", BROKERS], capture_output=True, text=True)
    faults = {}
    for line in out.stdout.splitlines()[:-1]:
        if line.endswith("dropped: another's id has the same 24 bits"):
            continue
        rule = line.split(": ")[1]
        faults[rule] = faults.get(rule, 0) + 1
    return out.returncode, faults, out.stdout + out.stderr


def expect(what, code, want):
    have_code, have, said = audit()
    if (have_code, have) != (code, want) or "1 events were dropped" not in said:
        sys.exit(f"{what}: exit {have_code}, {have}, expected {code}, {want}\n{said}")


# Three rooms of a host and three more of its category; a closed one; everything that is right.
kept = [room(f"r{n}", f"h{n}", f"cat{n}") for n in range(1, 8)] + [room("gone", "h8", "x", "closed", NOW - 60000)]
kept += [room(f"s{n}", "star", f"star{n}") for n in range(3)] + [room(f"k{n}", f"k{n}", "same") for n in range(6)]
kept += [record("live.catalog", "item:secret", {"v": 1, "format": "course", "restricted": True}, NOW - 60000)]
kept += [event(0, "chat", room="r1"), event(1, "purchase", item="c1", order="o1", amount=100, currency="CNY"), event(2, "purchase", item="c2", order="o2", amount=100, currency="CNY"),
         event(3, "refund", order="o2", amount=100), event(4, "purchase", item="c3", order="o3", amount=100, currency="CNY"), event(5, "refund", order="o3", amount=99),
         event(6, "block", host="h5"), event(7, "block", room="r6"), event(8, "block", item="c6"), event(9, "impression", room="r7"),
         event(10, "block", host="h4"), event(11, "follow", host="h4"), event(12, "purchase", item="c9", order="o9", amount=99999999, currency="CNY")]
kept += [recommend([place("r1", "h1", "c2"), place("r4", "h4"), place("s0", "star"), place("s1", "star")] + [place(f"k{n}", f"k{n}") for n in range(5)], [place("c2"), place("c9")], [place("h4")]),
         recommend([place("r7", "h7")], [place("c1")], after=0)]  # before the user did any of it
one, other = ids_taken_for_each_other()
kept += [event(13, "chat", room="r1", id=one), event(14, "impression", room="r3", id=other), recommend([place("r3", "h3")])]
kept += [snapshot(*[(f"r{n}", 0.125) for n in range(1, 9)]), snapshot(("r1", 0.9), ("r2", 0.1), held=True)]
kept += tick(1, "home", ("a", 0.5), ("b", 0.5)) + tick(2, "home", ("a", 0.52), ("b", 0.48)) + tick(4, "home", ("a", 0.5), ("b", 0.3), ("c", 0.2))  # c came
kept += tick(5, "home", ("a", 0.9), code="pin") + tick(6, "home", ("a", 0.5))                                                                     # an operator held a
kept += tick(1, "went", ("a", 0.5), ("b", 0.5)) + [record("live.traffic", "went|b", None, NOW + 3000)] + tick(3, "went", ("a", 1.0))              # b closed
kafka.produce(BROKERS, kept)
expect("what keeps the rules", 0, {})
planted = [
    ("closed_room", [recommend([place("gone", "h8")])]), ("owned_item", [recommend(items=[place("c1")])]), ("owned_item", [recommend([place("r1", "h1", "c3")])]),
    ("blocked_host", [recommend([place("r5", "h5")])]), ("blocked_host", [recommend(hosts=[place("h5")])]), ("blocked", [recommend([place("r6", "h6")])]),
    ("blocked", [recommend(items=[place("c6")])]), ("shown_within_pause", [recommend([place("r7", "h7")])]), ("restricted", [recommend(items=[place("secret")])]),
    ("too_many_of_one_host", [recommend([place(f"s{n}", "star") for n in range(3)])]), ("too_many_of_one_category", [recommend([place(f"k{n}", f"k{n}") for n in range(6)])]),
    ("reasons_do_not_add_up", [recommend([{**place("r1", "h1"), "score": 0.6}])]), ("unreadable", [record("live.recommendations", USER, {"v": 1})]),
    ("weights_do_not_sum_to_one", [snapshot(*[(f"r{n}", 0.1) for n in range(1, 9)])]), ("above_cap", [snapshot(("r1", 0.6), *[(f"r{n}", 0.1) for n in range(2, 6)])]),
    ("negative_weight", [snapshot(("r1", -0.1), *[(f"r{n}", 0.11) for n in range(2, 12)])]), ("weight_of_closed_room", [snapshot(("gone", 0.125), *[(f"r{n}", 0.125) for n in range(1, 8)])]),
    ("step", tick(1, "step", ("a", 0.5), ("b", 0.5)) + tick(2, "step", ("a", 0.53), ("b", 0.49))),
]
total = {}
for rule, records in planted:
    kafka.produce(BROKERS, records)
    total[rule] = total.get(rule, 0) + 1
    expect(f"planted {rule}", 1, total)
print(f"{len(planted)} planted, each found")
