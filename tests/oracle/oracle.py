#!/usr/bin/python3
"""An oracle: folds live.events again, in another language and from the written contract, and compares with Redis.

  oracle.py --brokers B --redis R [--sluice PATH] [--config FILE]

What it computes: of every user the events by type, money, orders, watch time, the implicit ratings of items and hosts;
of every item, host and room the funnel counters by scene and while explained, unique visitors among them, the item
count, and the pair counts; and which records are dead letters. All of that is the part of the state that does not
depend on how partitions interleave. `sluice digest --dump` says what Redis holds. Exit code 1 when anything differs.

Bounds under which it is exact, checked as it goes: no user beyond the list of visits, no entity beyond its neighbours.
"""
import argparse
import collections
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import kafka  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
M64 = (1 << 64) - 1
KINDS = {"item": 1, "host": 2, "room": 3}
DUPLICATE_TAG_BITS = 20  # of the hash of an event id: what makes one event in 16,000 be taken for another

# type: (required fields, at least one entity, exactly one)
TYPES = {
    "impression": ((), True, False), "click": ((), True, False), "enter": (("room",), False, False), "leave": (("room",), False, False),
    "watch": (("room", "dwell_ms"), False, False), "chat": (("room",), False, False), "question": (("room",), False, False),
    "like": ((), True, False), "share": ((), True, False), "follow": (("host",), False, False), "unfollow": (("host",), False, False),
    "browse": (("item",), False, False), "cart": (("item",), False, False), "vote": (("room", "option"), False, False),
    "gift": (("room", "amount", "currency"), False, False), "trial": (("item",), False, False),
    "purchase": (("item", "order", "amount", "currency"), False, False), "refund": (("order", "amount"), False, False),
    "rating": (("item", "value"), False, False), "progress": (("item", "percent"), False, False), "dislike": ((), False, True),
    "block": ((), False, True), "forget": ((), False, False),
}
TEXTS = {"id", "type", "user", "scene", "room", "host", "item", "explaining", "rec", "order", "option", "currency", "source"}
NAMES = {"user", "scene", "room", "host", "item", "explaining"}
RANGES = {"ts": (1, 1 << 53), "amount": (0, 1 << 53), "dwell_ms": (0, 2**31 - 1), "qty": (1, 1000000), "value": (1, 5),
          "percent": (0, 100), "pos": (0, 65535)}
# type: counters that it moves by one
PLAIN = {
    "impression": ("exposure",), "click": ("click",), "browse": ("click",), "enter": ("enter",), "leave": ("leave",),
    "chat": ("chat", "interaction"), "question": ("question", "interaction"), "like": ("like", "interaction"),
    "vote": ("vote", "interaction"), "gift": ("gift", "interaction"), "share": ("interaction",), "follow": ("interaction",),
    "cart": ("cart",), "trial": ("trial",), "dislike": ("negative",), "block": ("negative",),
}


def mix(value):
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9 & M64
    value = (value ^ value >> 27) * 0x94d049bb133111eb & M64
    return value ^ value >> 31


def multiply_fold(a, b):
    product = a * b
    return (product ^ product >> 64) & M64


def hash64(data, seed):
    state = mix(seed + 0x9e3779b97f4a7c15 * (len(data) + 1) & M64)
    at, size = 0, len(data)
    while size > 16:
        low, high = int.from_bytes(data[at:at + 8], "little"), int.from_bytes(data[at + 8:at + 16], "little")
        state = multiply_fold(low ^ 0xa0761d6478bd642f, high ^ state)
        at, size = at + 16, size - 16
    low = int.from_bytes(data[at:at + min(size, 8)], "little")
    high = int.from_bytes(data[at + 8:at + size], "little") if size > 8 else 0
    return mix(multiply_fold(low ^ 0xe7037ed1a0b428db, high ^ state) ^ state)


class Refused(Exception):
    pass


def unique(pairs):
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Refused("malformed")
    return out


def no_constant(text):
    raise Refused("malformed")


def depth_and_keys(value):
    if isinstance(value, dict):
        inner = [depth_and_keys(v) for v in value.values()]
        return 1 + max((d for d, _ in inner), default=0), len(value) + sum(k for _, k in inner)
    if isinstance(value, list):
        inner = [depth_and_keys(v) for v in value]
        return 1 + max((d for d, _ in inner), default=0), sum(k for _, k in inner)
    return 0, 0


def decode(key, value):
    """The event as a dict; raises Refused."""
    if value is None or len(value) > 16384:
        raise Refused("too_large")
    try:
        event = json.loads(value.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise Refused("malformed")
    if not isinstance(event, dict):
        raise Refused("malformed")
    depth, keys = depth_and_keys(event)
    if depth > 8 or keys > 64:
        raise Refused("too_complex")
    if type(event.get("v")) is not int or event["v"] != 1:
        raise Refused("bad_version" if "v" in event else "missing_field")
    for name, field in event.items():
        if name in TEXTS:
            if not isinstance(field, str) or not 1 <= len(field.encode()) <= 64 or (name in NAMES and not NAME.match(field)):
                raise Refused("bad_id")
        elif name in RANGES and (type(field) is not int or not RANGES[name][0] <= field <= RANGES[name][1]):
            raise Refused("bad_value")
    if event.get("type") not in TYPES:
        raise Refused("bad_type" if "type" in event else "missing_field")
    required, some, one = TYPES[event["type"]]
    entities = sum(name in event for name in KINDS)
    if any(name not in event for name in ("id", "user", "ts", "scene", *required)) or (some and not entities) or (one and entities != 1):
        raise Refused("missing_field")
    if "currency" in event and not re.match(r"[A-Z]{3}\Z", event["currency"]):
        raise Refused("bad_value")
    if key != event["user"].encode():
        raise Refused("key_mismatch")
    return event


class User:
    def __init__(self):
        self.events = self.watch_ms = self.carry_ms = self.spent = self.refunded = self.gifted = self.orders = 0
        self.counts = collections.Counter()
        self.seen = collections.deque()
        self.owned = []                                            # oldest first
        self.followed = set()
        self.visits = {}                                           # room -> ms watched
        self.days = set()
        self.history = {kind: collections.OrderedDict() for kind in KINDS}  # oldest touch first


class Oracle:
    def __init__(self, config):
        self.s, self.money = config["profile"], config["profile"]["currencies"]
        self.users = collections.defaultdict(User)
        self.counters = collections.defaultdict(collections.Counter)  # (kind, name, scene) -> counts
        self.explained = collections.defaultdict(collections.Counter)
        self.ratings, self.pairs = collections.Counter(), collections.defaultdict(collections.Counter)
        self.refused, self.folded, self.duplicates = {}, 0, 0

    # one record ------------------------------------------------------------------------------------------------

    def record(self, place, stamp, key, value):
        try:
            event = decode(key, value)
            user = self.users[event["user"]]
            if self.apply(user, event, stamp):
                self.folded += 1
            else:
                self.duplicates += 1
        except Refused as refusal:
            self.refused[place] = str(refusal)

    def apply(self, user, e, stamp):
        """False: a duplicate."""
        if stamp - e["ts"] > self.s["late_ms_max"]:
            raise Refused("late")
        if e["ts"] - stamp > self.s["early_ms_max"]:
            raise Refused("early")
        tag = hash64(e["id"].encode(), 13) & (1 << DUPLICATE_TAG_BITS) - 1
        if tag in user.seen:
            return False
        amount, first_order = 0, False
        if e["type"] in ("purchase", "gift"):
            amount = self.settle(e["currency"], e["amount"], limit=True)
        if e["type"] == "purchase":
            if any(o["order"] == e["order"] and o["item"] == e["item"] for o in user.owned):
                return False
            first_order = all(o["item"] != e["item"] for o in user.owned)
            self.buy(user, e, amount)
        elif e["type"] == "refund":
            self.refund(user, e)
        user.seen.append(tag)
        if len(user.seen) > self.s["dedupe"]:
            user.seen.popleft()
        if e["type"] == "forget":
            self.forget(user, e, tag)
            return True
        moved = collections.defaultdict(int)  # what this event does beside its type
        watched, short = self.visit(user, e, moved)
        follow = self.relate(user, e)
        user.events += 1
        user.counts[e["type"]] += 1
        seconds = 0  # whole ones go to the ratings; the rest waits for the user's next event
        if e["type"] == "watch":
            user.watch_ms += watched
            seconds, user.carry_ms = divmod(user.carry_ms + watched, 1000)
        if e["type"] == "gift":
            user.gifted += amount
        stars = (0, 0)
        if e["type"] != "refund":
            for kind in ("item", "host", "room"):
                if kind in e:
                    stars = self.touch(user, e, kind, seconds) or stars
            self.count(e, amount, first_order, watched, short, follow, stars, moved)
        return True

    # money -----------------------------------------------------------------------------------------------------

    def settle(self, currency, amount, limit=False):
        if currency not in self.money:
            raise Refused("unknown_currency")
        c = self.money[currency]
        if limit and amount > c["amount_max"]:
            raise Refused("amount_too_large")
        return amount * c["rate_num"] // c["rate_den"]

    def buy(self, user, e, amount):
        same = bool(user.owned) and user.owned[-1]["order"] == e["order"]
        user.owned.append({"item": e["item"], "order": e["order"], "paid": e["amount"], "back": 0, "currency": e["currency"],
                           "host": e.get("host"), "room": e.get("room")})
        if len(user.owned) > self.s["owned"]:
            user.owned.pop(0)
        user.spent += amount
        user.orders += not same

    def refund(self, user, e):
        lots = [o for o in reversed(user.owned) if o["order"] == e["order"] and e.get("item", o["item"]) == o["item"]]
        if not lots:
            raise Refused("unknown_order")
        if "currency" in e and e["currency"] != lots[0]["currency"]:
            raise Refused("currency_mismatch")
        if e["amount"] > sum(o["paid"] - o["back"] for o in lots):
            raise Refused("refund_exceeds")
        left = e["amount"]
        for o in lots:
            part = min(left, o["paid"] - o["back"])
            if part == 0:
                continue
            money = self.settle(o["currency"], o["back"] + part) - self.settle(o["currency"], o["back"])
            first, o["back"], left = o["back"] == 0, o["back"] + part, left - part
            user.refunded += money
            if o["back"] == o["paid"] and user.history["item"].get(o["item"], {"rating": 0})["rating"] > self.s["weights"]["cart"]:
                self.rate(user, "item", o["item"], self.s["weights"]["cart"])
            for kind in KINDS:
                if o[kind]:
                    c = self.counters[kind, o[kind], e["scene"]]
                    c["refund"] += first
                    c["refund_amount"] += money

    # visits, relations -----------------------------------------------------------------------------------------

    def visit(self, user, e, moved):
        watched = min(e.get("dwell_ms", 0), self.s["dwell_ms_max"])
        if "room" not in e or e["type"] not in ("enter", "watch", "leave"):
            return watched, False
        moved["visitor", "room"] = e["room"] not in user.visits
        before = user.visits.setdefault(e["room"], 0)
        if e["type"] == "watch":
            watched = min(watched, self.s["room_dwell_ms_max"] - before)
            user.visits[e["room"]] += watched
        if "host" in e:
            day = (e["host"], (e["ts"] + self.s["day_offset_ms"]) // 86400000)
            moved["visitor", "host"] = day not in user.days
            user.days.add(day)
        if len(user.visits) + len(user.days) > self.s["visits"]:
            raise SystemExit("oracle: a user has more visits than the list holds; unique visitors are not exact beyond it")
        return watched, e["type"] == "leave" and user.visits[e["room"]] < self.s["short_view_ms"]

    def relate(self, user, e):
        host = e.get("host")
        if e["type"] == "follow":
            new = host not in user.followed
            user.followed.add(host)
            return int(new)
        if e["type"] == "unfollow" or (e["type"] == "block" and host):
            was = host in user.followed
            user.followed.discard(host)
            return -int(was)
        return 0

    # history, ratings, pairs -----------------------------------------------------------------------------------

    def touch(self, user, e, kind, seconds):
        """Answers the change of (number, sum) of stars."""
        limit = self.s[{"item": "history", "host": "history_hosts", "room": "history_rooms"}[kind]]
        known, name, stars = user.history[kind], e[kind], None
        entry = known.pop(name, None)
        leaves = next(iter(known)) if entry is None and len(known) >= limit else None
        entry = entry or {"rating": 0, "watched": 0, "stars": 0}
        known[name] = entry
        rating = self.s["weights"][e["type"]]
        if e["type"] == "watch":
            entry["watched"] += seconds
            for grade, step in enumerate(self.s["watch_step_ms"], 1):
                if step and entry["watched"] * 1000 >= step:
                    rating = max(rating, grade)
        if e["type"] == "rating" and kind == "item" and any(o["item"] == name for o in user.owned):
            stars = (int(entry["stars"] == 0), e["value"] - entry["stars"])
            entry["stars"] = e["value"]
        if e["type"] in ("dislike", "block"):
            self.rate(user, kind, name, 0)
        elif rating > entry["rating"]:
            self.rate(user, kind, name, rating)
        if leaves:
            del known[leaves]
        return stars

    def rate(self, user, kind, name, rating):
        entry = user.history[kind][name]
        old, entry["rating"] = entry["rating"], rating if kind != "room" else 0
        if kind == "room" or old == rating:
            return
        self.ratings[kind, name] += rating - old
        for other, q in user.history[kind].items():
            delta = min(rating, q["rating"]) - min(old, q["rating"])
            if other != name and delta:
                self.pairs[kind, name][other] += delta
                self.pairs[kind, other][name] += delta

    def forget(self, user, e, tag):
        for kind in ("item", "host"):
            for name, entry in user.history[kind].items():
                if entry["stars"]:
                    c = self.counters[kind, name, e["scene"]]
                    c["rating_count"] -= 1
                    c["rating_sum"] -= entry["stars"]
                self.rate(user, kind, name, 0)
        for host in user.followed:
            self.counters["host", host, e["scene"]]["follow"] -= 1
        user.__init__()
        user.seen.append(tag)

    # funnel counters -------------------------------------------------------------------------------------------

    def count(self, e, amount, first_order, watched, short, follow, stars, moved):
        shown = e.get("explaining")
        for kind in ("room", "host", "item"):
            if kind in e:
                explained = bool(shown) if kind == "room" else kind == "item" and shown == e["item"]
                self.add(e, kind, e[kind], explained, self.deltas(e, kind, amount, first_order, watched, short, follow, stars, moved))
        if shown and "item" not in e:  # what happens in a room is counted for the item on show, unless the event names one
            self.add(e, "item", shown, True, self.deltas(e, "item", amount, first_order, watched, short, 0, (0, 0), moved))

    def deltas(self, e, kind, amount, first_order, watched, short, follow, stars, moved):
        out = collections.Counter(PLAIN.get(e["type"], ()))
        if e["type"] == "gift":
            out["gift_amount"] += amount
        if e["type"] == "purchase":
            out.update(purchase=1, units=e.get("qty", 1), gmv=amount)
            out["buyer"] += kind == "item" and first_order
        if e["type"] == "watch":
            out["watch_ms"] += watched
        out["short_view"] += short and kind != "item"
        out["visitor"] += moved["visitor", kind]
        if kind == "host":
            out["follow"] += follow
        if kind == "item":
            out["rating_count"] += stars[0]
            out["rating_sum"] += stars[1]
        return out

    def add(self, e, kind, name, explained, deltas):
        self.counters[kind, name, e["scene"]].update(deltas)
        if explained:
            self.explained[kind, name].update(deltas)


class Comparison:
    def __init__(self, oracle, lines, user_key, neighbours_max):
        self.compared, self.differences = 0, []
        ids = {}
        for kind, name in {(k, n) for k, n, _ in oracle.counters} | set(oracle.ratings):
            ids[f"{KINDS[kind] << 46 | hash64(name.encode(), 0) & (1 << 46) - 1:012x}"] = (kind, name)
        users = {hmac.new(user_key, u.encode(), hashlib.sha256).digest()[:8].hex(): u for u in oracle.users}
        want = self.wanted(oracle)
        have = {}
        for line in lines:
            if line["task"].startswith("profile"):
                have.update(self.user_of(line, users, ids))
            else:
                have.update(self.entity_of(line, ids, neighbours_max))
        for what in want.keys() | have.keys():
            self.compared += 1
            if want.get(what, 0) != have.get(what, 0):
                self.differences.append(f"{what}: the events say {want.get(what, 0)}, Redis {have.get(what, 0)}")

    @staticmethod
    def wanted(oracle):
        want = {}
        for name, u in oracle.users.items():
            for field in ("events", "watch_ms", "spent", "refunded", "gifted", "orders"):
                want["user", name, field] = getattr(u, field)
            want["user", name, "owned"] = len(u.owned)
            for kind, n in u.counts.items():
                want["user", name, "count", kind] = n
            for kind in ("item", "host"):
                for other, entry in u.history[kind].items():
                    want["user", name, "rating", kind, other] = entry["rating"]
        for (kind, name, scene), counts in oracle.counters.items():
            for counter, n in counts.items():
                want[kind, name, scene, counter] = n
        for (kind, name), counts in oracle.explained.items():
            for counter, n in counts.items():
                want[kind, name, "explained", counter] = n
        for (kind, name), n in oracle.ratings.items():
            want[kind, name, "item count"] = n
        for (kind, name), others in oracle.pairs.items():
            for other, n in others.items():
                want[kind, name, "pair", other] = n
        return want

    @staticmethod
    def user_of(line, users, ids):
        name = users.get(line["id"], line["id"])
        out = {("user", name, field): line[field] for field in ("events", "watch_ms", "spent", "refunded", "gifted", "orders", "owned")}
        out.update({("user", name, "count", kind): n for kind, n in line["counts"].items()})
        for h in line["history"]:
            if h["kind"] != "room":
                out["user", name, "rating", h["kind"], ids.get(h["id"], ("", h["id"]))[1]] = h["rating"]
        if line["visits_lost"]:
            raise SystemExit("oracle: a user's list of visits overflowed; unique visitors are not exact")
        return out

    @staticmethod
    def entity_of(line, ids, neighbours_max):
        kind, name = ids.get(line["id"], (line["kind"], line["id"]))
        if "pairs" in line:
            if len(line["pairs"]) >= neighbours_max:
                raise SystemExit("oracle: a table of neighbours is full; pair counts are not exact")
            return {(kind, name, "pair", ids.get(other, ("", other))[1]): n for other, n in line["pairs"].items()}
        out = {(kind, name, scene, counter): n for scene, counts in line["scenes"].items() for counter, n in counts.items()}
        out.update({(kind, name, "explained", counter): n for counter, n in line["explained"].items()})
        out[kind, name, "item count"] = line["rating"]
        return out


class Check:
    """Reads on from where the last check stopped, then compares."""

    def __init__(self, brokers, config=None, sluice=None, user_key=b"sluice-demo-key!"):
        with open(config or os.path.join(ROOT, "config", "sluice.json")) as file:
            self.config = json.load(file)
        self.brokers, self.user_key = brokers, user_key
        self.sluice = sluice or os.path.join(ROOT, "build", "server", "verbs", "sluice")
        self.client, self.oracle, self.next = kafka.Kafka(brokers), Oracle(self.config), {}
        self.dead, self.dead_next = {}, {}

    def read(self):
        for p in self.client.partitions("live.events"):
            end = self.client.ends("live.events", p)[1]
            for offset, stamp, key, value, _ in self.client.records("live.events", p, self.next.get(p, 0), end):
                self.oracle.record((p, offset), stamp, key, value)
            self.next[p] = end
        for p in self.client.partitions("live.deadletter"):
            end = self.client.ends("live.deadletter", p)[1]
            for _, _, _, _, headers in self.client.records("live.deadletter", p, self.dead_next.get(p, 0), end):
                if headers.get("__errors.topic") == b"live.events":
                    place = int(headers["__errors.partition"]), int(headers["__errors.offset"])
                    self.dead[place] = headers.get("__errors.exception", b"").decode()
            self.dead_next[p] = end

    def compare(self, redis):
        self.read()
        dump = subprocess.run([self.sluice, "digest", "--dump", "--brokers", self.brokers, "--redis", redis], stdout=subprocess.PIPE, check=True)
        lines = [json.loads(line) for line in dump.stdout.splitlines()]
        done = Comparison(self.oracle, lines, self.user_key, self.config["entity"]["neighbours"])
        for place in self.oracle.refused.keys() | self.dead.keys():
            done.compared += 1
            if (place in self.oracle.refused) != (place in self.dead):
                done.differences.append(f"live.events {place}: {'no dead letter' if place not in self.dead else 'a dead letter'}; "
                                        f"the contract says {self.oracle.refused.get(place, 'accepted')}, the letter {self.dead.get(place)}")
            elif self.oracle.refused[place] != self.dead[place]:
                done.differences.append(f"live.events {place}: refused as {self.dead[place]}; the contract says {self.oracle.refused[place]}")
        return done


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--config")
    parser.add_argument("--sluice")
    options = parser.parse_args()
    check = Check(options.brokers, options.config, options.sluice)
    done = check.compare(options.redis)
    for line in done.differences[:20]:
        print(line)
    o = check.oracle
    print(f"{o.folded} events folded, {o.duplicates} duplicates, {len(o.refused)} refused; {done.compared} values compared, "
          f"{len(done.differences)} differ")
    sys.exit(1 if done.differences or not o.folded else 0)


if __name__ == "__main__":
    main()
