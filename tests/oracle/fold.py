"""The fold of live.events into users and entities, from the contract and the settings; see tests/README.md, "The oracle"."""
import collections
import datetime

from contract import Refused, decode

KINDS = ("item", "host", "room")
INTERACTIONS = {"chat", "question", "like", "share", "vote", "gift", "follow"}
PLAIN = {"click": "click", "browse": "click", "enter": "enter", "leave": "leave", "chat": "chat", "question": "question", "like": "like",
         "vote": "vote", "cart": "cart", "trial": "trial", "impression": "exposure", "gift": "gift", "dislike": "negative", "block": "negative"}
M64 = (1 << 64) - 1
NEXT_UNIT = 6
STANDING = ("follow", "rating_count", "rating_sum")
SOURCES = ("feed", "follow", "search", "ad", "organic", "recommendation")
LEVELS = {"minutes": 60_000, "hours": 3_600_000, "days": 86_400_000}
TIMES = {"minutes": "%Y-%m-%dT%H:%MZ", "hours": "%Y-%m-%dT%HZ", "days": "%Y-%m-%d"}


def mix(value):
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9 & M64
    value = (value ^ value >> 27) * 0x94d049bb133111eb & M64
    return value ^ value >> 31


def product(a, b):
    both = a * b
    return both & M64 ^ both >> 64


def tag_of(text):
    """24 bits of an event id. Which 24 no document says: this function alone is that of common/hash.c, with seed 13."""
    data = text.encode()
    size, state = len(data), mix(13 + 0x9e3779b97f4a7c15 * (len(data) + 1) & M64)
    while size > 16:
        low, high = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:16], "little")
        state, data, size = product(low ^ 0xa0761d6478bd642f, high ^ state), data[16:], size - 16
    low, high = int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")
    return mix(product(low ^ 0xe7037ed1a0b428db, high ^ state) ^ state) & 0xffffff


class Entry:
    """One entity of a user's history."""
    def __init__(self):
        self.rating = self.stars = self.watched_ms = self.touched_ms = self.percent = self.again = self.impressed_ms = self.shown_ms = 0
        self.negative = False


class Line:
    """One item of an order."""
    def __init__(self, event, sources):
        self.order, self.item, self.room, self.host = event["order"], event["item"], event.get("room"), event.get("host")
        self.sources = sources
        self.currency, self.paid, self.refunded = event["currency"], event["amount"], 0


class User:
    def __init__(self):
        self.events = self.watch_ms = self.spent = self.refunded = self.gifted = self.orders = self.visits_lost = 0
        self.first_ms = self.last_ms = self.last_paid_ms = 0
        self.counts = collections.Counter()
        self.history = {kind: {} for kind in KINDS}
        self.seen = collections.deque()
        self.lines = []
        self.visits = {}  # of (room) or (host, day): watched in it
        self.relations = {}  # of (kind, id): blocked


class Entity:
    def __init__(self):
        self.scenes = collections.defaultdict(collections.Counter)
        self.explained = collections.Counter()
        self.rating = self.last_ms = 0
        self.pairs, self.sinking = collections.Counter(), set()  # and those of which something was taken back
        self.next, self.next_sum = collections.Counter(), 0
        self.cells = collections.defaultdict(collections.Counter)  # of (level, bucket, scene, source or None, explained)

    def totals(self):
        """Of each scene; follows and star ratings are those of all."""
        standing = {name: sum(counters[name] for counters in self.scenes.values()) for name in STANDING}
        return {scene: {n: v for n, v in {**counters, **standing}.items() if v} for scene, counters in self.scenes.items()}

    def buckets(self, settings):
        """Those that are kept: (level, start, scene, source...) to counters."""
        out = collections.defaultdict(collections.Counter)
        for (level, at, *rest, explained), counters in self.cells.items():
            if at <= bucket_of(level, self.last_ms, settings) - settings["entity"][level]:
                continue
            start = datetime.datetime.fromtimestamp(at * LEVELS[level] // 1000, datetime.timezone.utc).strftime(TIMES[level])
            out[(level, start, *rest)].update(counters)
            if explained:
                out[("explained_days", start, *rest)].update(counters)
        return {at: {n: v for n, v in c.items() if v} for at, c in out.items()}


def bucket_of(level, event_ms, settings):
    offset_ms = int(settings["profile"]["day_offset_ms"] / 60_000) * 60_000 if level == "days" else 0
    return (event_ms + offset_ms) // LEVELS[level]


class Oracle:
    def __init__(self, settings):
        self.settings, self.profile = settings, settings["profile"]
        self.users, self.entities = {}, collections.defaultdict(Entity)
        self.dead = {}  # (partition, offset): the reasons that would be right
        self.folded = 0

    def record(self, partition, offset, stamp_ms, key, value):
        try:
            event = decode(key, value)
            self.judge_time(event, stamp_ms)
            self.fold(event)
            self.folded += 1
        except Refused as refused:
            self.dead[partition, offset] = refused.reasons

    def judge_time(self, event, stamp_ms):
        if stamp_ms - event["ts"] > self.profile["late_ms_max"]:
            raise Refused("late")
        if event["ts"] - stamp_ms > self.profile["early_ms_max"]:
            raise Refused("early")

    def fold(self, event):
        user, kind = self.users.get(event["user"]) or User(), event["type"]
        tag = tag_of(event["id"])
        if tag in user.seen or kind == "purchase" and self.line_of(user, event):
            return
        self.check_money(user, event)
        self.users[event["user"]] = user
        self.remember(user, tag)
        if kind == "forget":
            self.forget(user, event)
            self.remember(self.users[event["user"]], tag)
            return
        user.counts[kind] += 1
        user.first_ms = user.first_ms if user.events else event["ts"]
        user.last_ms = max(user.last_ms, event["ts"])
        user.events += 1
        self.sources = {one: self.source_of(user, event, one) for one in KINDS}
        self.touch(user, event, self.visit(user, event))
        if kind == "refund":
            self.refund(user, event)
        elif kind == "purchase":
            self.purchase(user, event)
        elif kind == "gift":
            settled = self.settle(event["amount"], event["currency"])
            user.gifted += settled
            self.count(event, {"gift_amount": settled})
        elif kind == "rating":
            self.rate_stars(user, event)
        elif kind in ("follow", "unfollow", "block"):
            self.relate(user, event)
        if kind in PLAIN:
            self.count(event, {PLAIN[kind]: 1})
        if kind in INTERACTIONS:
            self.count(event, {"interaction": 1})

    def remember(self, user, tag):
        if self.profile["dedupe"]:
            user.seen.append(tag)
            if len(user.seen) > self.profile["dedupe"]:
                user.seen.popleft()

    def source_of(self, user, event, kind):
        """Under which source what the event does with its entity of that kind counts."""
        said, entry = event.get("source"), user.history[kind].get(event.get(kind))
        if said:
            return said if said in SOURCES else "other"
        if "rec" in event:
            return "recommendation"
        if not entry or not entry.shown_ms or event["type"] == "impression":
            return "organic"
        return "recommendation" if 0 <= event["ts"] - entry.shown_ms <= self.profile["attribution_ms"] else "organic"

    # watch time and visits
    def visit(self, user, event):
        """Milliseconds that the histories watched for it."""
        kind = event["type"]
        step, self.short = min(event["dwell_ms"], self.profile["dwell_ms_max"]) if kind == "watch" else 0, False
        if kind in ("enter", "leave", "watch") and self.profile["visits"]:
            room = (event["room"],)
            if self.new_visit(user, room):
                self.add("room", event["room"], event, {"visitor": 1})
            step = max(0, min(step, self.profile["room_dwell_ms_max"] - user.visits[room]))
            user.visits[room] += step
            self.short = kind == "leave" and user.visits[room] < self.profile["short_view_ms"]
            if self.short:
                self.short_view(event)
            day = (event["ts"] + self.profile["day_offset_ms"]) // 86400000
            if "host" in event and self.new_visit(user, (event["host"], day)):
                self.add("host", event["host"], event, {"visitor": 1})
        whole = user.watch_ms // 1000
        user.watch_ms += step
        if kind == "watch":
            self.count(event, {"watch_ms": step})
        return (user.watch_ms // 1000 - whole) * 1000

    def new_visit(self, user, of):
        if of in user.visits:
            return False
        if len(user.visits) >= self.profile["visits"]:
            del user.visits[next(iter(user.visits))]
            user.visits_lost += 1
        user.visits[of] = 0
        return True

    def short_view(self, event):
        for kind in ("room", "host"):
            if kind in event:
                self.add(kind, event[kind], event, {"short_view": 1})

    # money
    def settle(self, amount, currency):
        money = self.profile["currencies"][currency]
        return amount * money["rate_num"] // money["rate_den"]

    def line_of(self, user, event):
        return any(line.order == event["order"] and line.item == event["item"] for line in user.lines)

    def check_money(self, user, event):
        if event["type"] == "refund":
            self.check_refund(user, event)
        elif event["type"] in ("gift", "purchase"):
            money = self.profile["currencies"].get(event["currency"])
            if money is None:
                raise Refused("unknown_currency")
            if event["amount"] > money["amount_max"]:
                raise Refused("amount_too_large")

    def purchase(self, user, event):
        settled = self.settle(event["amount"], event["currency"])
        user.orders += not any(line.order == event["order"] for line in user.lines)
        if not any(line.item == event["item"] for line in user.lines):
            self.add("item", event["item"], event, {"buyer": 1})
        user.lines.append(Line(event, dict(self.sources)))
        if len(user.lines) > self.profile["owned"]:
            user.lines.pop(0)
        user.spent += settled
        user.last_paid_ms = max(user.last_paid_ms, event["ts"])
        self.count(event, {"purchase": 1, "units": event.get("qty", 1), "gmv": settled})

    def refunded_lines(self, user, event):
        """Newest first; in the currency of the refund alone, which is that of the newest when it says none."""
        lines = [line for line in reversed(user.lines) if line.order == event["order"] and line.item == event.get("item", line.item)]
        if not lines:
            raise Refused("unknown_order")
        return [line for line in lines if line.currency == event.get("currency", lines[0].currency)]

    def check_refund(self, user, event):
        lines = self.refunded_lines(user, event)
        if not lines:
            raise Refused("currency_mismatch")
        if event["amount"] > sum(line.paid - line.refunded for line in lines):
            raise Refused("refund_exceeds")

    def refund(self, user, event):
        left = event["amount"]
        for line in self.refunded_lines(user, event):
            part = min(left, line.paid - line.refunded)
            if not part:
                continue
            settled = self.settle(line.refunded + part, line.currency) - self.settle(line.refunded, line.currency)
            deltas = {"refund": 0 if line.refunded else 1, "refund_amount": settled}
            left -= part
            line.refunded += part
            user.refunded += settled
            for kind in KINDS:
                if getattr(line, kind):
                    self.add(kind, getattr(line, kind), event, deltas, line.sources[kind])
            entry = user.history["item"].get(line.item)
            if entry and not any(one.item == line.item and (one.refunded < one.paid or not one.paid) for one in user.lines):
                self.set_rating("item", line.item, user, min(entry.rating, self.profile["weights"]["cart"]), event)

    # history, ratings and pairs
    def touch(self, user, event, watched):
        if event["type"] == "refund":
            return
        for kind in KINDS:
            entries, limit = user.history[kind], self.profile["history" if kind == "item" else "history_" + kind + "s"]
            if kind not in event or not limit:
                continue
            joins = event[kind] not in self.paired(user, kind)
            entry = entries.pop(event[kind], None) or Entry()
            entry.rating = 0 if joins else entry.rating
            entries[event[kind]] = entry
            before_ms, entry.touched_ms = entry.touched_ms // 1000 * 1000, event["ts"]
            entry.watched_ms += watched
            if "rec" in event:
                entry.shown_ms = max(entry.shown_ms, event["ts"])
            if event["type"] == "impression":
                entry.impressed_ms = event["ts"]
            if event["type"] == "progress":
                entry.percent = max(entry.percent, event["percent"])
            weight = self.profile["weights"][event["type"]]
            if event["type"] == "watch" and any(self.profile["watch_step_ms"]):
                weight = max(weight, max(at * (0 < step <= entry.watched_ms) for at, step in enumerate(self.profile["watch_step_ms"], 1)))
            bought = event["type"] == "purchase" and entry.rating >= weight
            if weight and entry.rating and (bought or event["ts"] - before_ms >= self.profile["again_ms"]):
                entry.again = min(255, entry.again + 1)
            if event["type"] in ("dislike", "block"):
                entry.negative = True
                self.set_rating(kind, event[kind], user, 0, event, joins)
            elif weight > entry.rating:
                self.set_rating(kind, event[kind], user, weight, event, joins)
            if weight >= 2:
                entry.negative = False
            if kind == "room" and self.short:
                entry.negative = True
            if len(entries) > limit + (self.profile["past"] if kind == "item" else 0):
                del entries[next(iter(entries))]

    def paired(self, user, kind, joins=False):
        """The newest of a kind; one more while the last has just come among them. What is older is only remembered."""
        return list(user.history[kind])[-(self.profile["history" if kind == "item" else "history_" + kind + "s"] + joins):]

    def set_rating(self, kind, name, user, rating, event, joins=False):
        entries, paired = user.history[kind], self.paired(user, kind, joins)
        old = entries[name].rating
        if kind == "room" or rating == old:
            return
        entries[name].rating = rating
        if name not in paired:
            return
        self.entities[kind, name].rating += rating - old
        self.entities[kind, name].last_ms = max(self.entities[kind, name].last_ms, event["ts"])
        rated = [one for one in paired if one != name and entries[one].rating]
        for other in rated:
            delta = min(rating, entries[other].rating) - min(old, entries[other].rating)
            for this, that in ((name, other), (other, name)):
                if delta:
                    self.entities[kind, this].pairs[that] += delta
                if delta < 0:
                    self.entities[kind, this].sinking.add(that)
        steps = self.profile["next_steps"] if old == 0 else 0
        for step, other in enumerate(reversed(rated[-steps:] if steps else []), 1):
            self.entities[kind, other].next[name] += NEXT_UNIT // step
            self.entities[kind, other].next_sum += NEXT_UNIT // step

    def relate(self, user, event):
        kind = next(k for k in ("room", "host", "item") if k in event) if event["type"] == "block" else "host"
        followed = user.relations.pop((kind, event[kind]), None) is False
        if event["type"] != "unfollow":
            user.relations[kind, event[kind]] = event["type"] == "block"
            if len(user.relations) > self.profile["relations"]:
                del user.relations[next(iter(user.relations))]
        follows = (event["type"] == "follow") - followed
        if follows:
            self.add(kind, event[kind], event, {"follow": follows})

    def rate_stars(self, user, event):
        if not any(line.item == event["item"] for line in user.lines):
            return
        entry = user.history["item"][event["item"]]
        self.add("item", event["item"], event, {"rating_count": 0 if entry.stars else 1, "rating_sum": event["value"] - entry.stars})
        entry.stars = event["value"]

    def forget(self, user, event):
        """What the histories still hold is taken back from everything it went into; the id stays, so that a repeat erases nothing new."""
        for kind in ("item", "host"):
            for name, entry in user.history[kind].items():
                self.set_rating(kind, name, user, 0, event)
                if entry.stars:
                    self.add("item", name, event, {"rating_count": -1, "rating_sum": -entry.stars}, "organic")
        for (kind, name), blocked in user.relations.items():
            if not blocked:
                self.add(kind, name, event, {"follow": -1}, "organic")
        self.users[event["user"]] = User()

    # funnels
    def count(self, event, deltas):
        for kind in KINDS:
            name = event.get(kind)
            if kind == "item" and name is None:
                name = event.get("explaining")
            if name:
                self.add(kind, name, event, deltas)

    def add(self, kind, name, event, deltas, source=None):
        if not any(deltas.values()):
            return
        entity, scene, source = self.entities[kind, name], event["scene"], source or self.sources[kind]
        explained = event["type"] not in ("refund", "forget") and (kind == "item" and event.get("explaining") == name or kind == "room" and "explaining" in event)
        entity.scenes[scene].update(deltas)
        if explained:
            entity.explained.update(deltas)
        entity.last_ms = max(entity.last_ms, event["ts"])
        for level in LEVELS:
            at = bucket_of(level, event["ts"], self.settings)
            entity.cells[(level, at, scene, source, explained) if level == "days" else (level, at, scene, source, False) if level == "hours" else (level, at, scene, False)].update(deltas)
