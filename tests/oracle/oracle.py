#!/usr/bin/python3
"""An oracle: folds live.events again, in another language and from the documents, and compares with what stands in Redis.

  oracle.py --brokers LIST --redis LIST [--sluice PATH] [--config FILE] [--damage]
  oracle.py --self-test

What `sluice digest --dump` says of Redis is compared figure by figure: of every user the events by type, money, watch time and
the histories in their order; of every item, host and room the counters by scene and while an item is explained, unique
visitors among them, the rating and the pairs; and every dead letter with its reason. --damage also changes one value of each
kind in what Redis says and leaves lines out: each must be reported. --self-test does so without a daemon, and leaves out events
of every type. Exit code 1 when anything differs, or when a damage is not seen.
"""
import argparse
import copy
import hashlib
import hmac
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import edges  # noqa: E402
import kafka  # noqa: E402
from contract import load, merge  # noqa: E402
from fold import KINDS, Entity, Oracle  # noqa: E402

DEMO_KEY = b"sluice-demo-key!"
OF_USER = ("events", "watch_ms", "first_ms", "last_ms", "spent", "refunded", "gifted", "last_paid_ms", "orders", "visits_lost")
OF_ENTRY = ("rating", "stars", "watched_ms", "negative", "touched_ms", "percent", "again", "impressed_ms", "shown_ms")
OF_LINE = ("paid", "refunded", "kept", "currency")


def hash_of(user, key):
    return hmac.new(key, user.encode(), hashlib.sha256).digest()[:8].hex()


def line_of(line):
    return {"paid": line.paid, "refunded": line.refunded, "kept": line.refunded < line.paid or not line.paid, "currency": line.currency}


def lines_of(oracle, key):
    """The oracle's state in the form of the dump, with names in the place of ids."""
    for name, user in oracle.users.items():
        history = [{"kind": kind, "id": one, **{f: getattr(entry, f) for f in OF_ENTRY}, "touched_ms": entry.touched_ms // 1000 * 1000}
                   for kind in KINDS for one, entry in reversed(user.history[kind].items())]
        owned = [{**line_of(line), **{kind: {"id": getattr(line, kind), "source": line.sources[kind]} for kind in KINDS if getattr(line, kind)}}
                 for line in reversed(user.lines)]
        relations = [{"kind": kind, "id": one, "blocked": blocked} for (kind, one), blocked in reversed(user.relations.items())]
        yield {**{f: getattr(user, f) for f in OF_USER}, "counts": dict(user.counts), "history": history, "owned": owned, "relations": relations,
               "id": hash_of(name, key), "task": "profile.0"}
    for (kind, name), entity in oracle.entities.items():
        yield {"name": name, "scenes": entity.totals(), "explained": {n: v for n, v in entity.explained.items() if v}, "rating": entity.rating,
               "buckets": nested(entity.buckets(oracle.settings)), "kind": kind, "id": name, "task": "entity.0"}
        if entity.pairs:
            pairs = {n: v for n, v in entity.pairs.items() if v}
            yield {"pairs": pairs, "next": {n: v for n, v in entity.next.items() if n in pairs}, "next_sum": entity.next_sum, "kind": kind, "id": name,
                   "task": "entity.0"}


def nested(buckets):
    out = {}
    for path, counters in buckets.items():
        place = out
        for step in path:
            place = place.setdefault(step, {})
        place.update(counters)
    return out


def flat(buckets):
    """(level, start, scene, source...) to counters."""
    for level, starts in buckets.items():
        for start, scenes in starts.items():
            for scene, inner in scenes.items():
                for source, counters in [(None, inner)] if level == "minutes" else inner.items():
                    yield (level, start, scene) if source is None else (level, start, scene, source), counters


class Comparison:
    """Of an oracle with the lines of a dump and the dead letters."""
    def __init__(self, oracle, lines, letters, key=DEMO_KEY):
        self.oracle, self.compared, self.differences = oracle, 0, []
        self.neighbours = oracle.settings["entity"]["neighbours"]
        self.names = {(d["kind"], d["id"]): d["name"] for d in lines if "name" in d}
        self.known = {(kind, name) for (kind, _), name in self.names.items()}  # what was touched but never counted has no name there
        self.users({d["id"]: d for d in lines if d["task"].startswith("profile.")}, key)
        self.entities([d for d in lines if d["task"].startswith("entity.")])
        self.letters(letters)

    def same(self, what, mine, theirs):
        self.compared += 1
        if mine != theirs:
            self.differences.append(f"{what}: the oracle has {mine}, Redis {theirs}")

    def users(self, theirs, key):
        mine = {hash_of(name, key): (name, user) for name, user in self.oracle.users.items()}
        self.same("users missing in Redis", sorted(mine[h][0] for h in mine if h not in theirs), [])
        self.same("users in Redis alone", [], sorted(h for h in theirs if h not in mine))
        for hashed in mine.keys() & theirs.keys():
            self.user(*mine[hashed], theirs[hashed])

    def user(self, name, user, line):
        for field in OF_USER:
            self.same(f"user {name} {field}", getattr(user, field), line[field])
        for kind in user.counts.keys() | line["counts"].keys():
            self.same(f"user {name} {kind}s", user.counts.get(kind, 0), line["counts"].get(kind, 0))
        for kind in KINDS:
            have, want = [e for e in line["history"] if e["kind"] == kind], list(reversed(user.history[kind].items()))
            self.same(f"user {name} order of {kind}s", [n if (kind, n) in self.known else "unnamed" for n, _ in want],
                      [self.names.get((kind, e["id"]), "unnamed") for e in have])
            for field in OF_ENTRY:
                mine = [getattr(e, field) // 1000 * 1000 if field == "touched_ms" else getattr(e, field) for _, e in want]
                self.same(f"user {name} {kind}s {field}", mine, [e.get(field, 0) for e in have])
        want = list(reversed(user.lines))
        for field in OF_LINE:
            self.same(f"user {name} owned {field}", [line_of(one)[field] for one in want], [one.get(field) for one in line["owned"]])
        for kind in KINDS:
            mine = [(self.named(kind, getattr(one, kind)), one.sources[kind]) if getattr(one, kind) else None for one in want]
            self.same(f"user {name} owned {kind}s", mine,
                      [(self.names.get((kind, one[kind]["id"])), one[kind]["source"]) if kind in one else None for one in line["owned"]])
        self.same(f"user {name} relations", [(kind, self.named(kind, one), blocked) for (kind, one), blocked in reversed(user.relations.items())],
                  [(r["kind"], self.names.get((r["kind"], r["id"])), r["blocked"]) for r in line["relations"]])

    def named(self, kind, name):
        return name if (kind, name) in self.known else None

    def entities(self, lines):
        cards = {(d["kind"], d["name"]): d for d in lines if "name" in d}
        pairs = {(d["kind"], self.names.get((d["kind"], d["id"]), d["id"])): d for d in lines if "pairs" in d}
        no_pairs = {"pairs": {}, "next": {}, "next_sum": 0}
        nothing = {"scenes": {}, "explained": {}, "rating": 0, "buckets": {}}
        for at in self.oracle.entities.keys() | cards.keys() | pairs.keys():
            mine, card, what = self.oracle.entities.get(at) or Entity(), cards.get(at, nothing), " ".join(at)
            totals = mine.totals()
            for scene in totals.keys() | card["scenes"].keys():
                one, other = totals.get(scene, {}), card["scenes"].get(scene, {})
                for name in one.keys() | other.keys():
                    self.same(f"{what} {scene} {name}", one.get(name, 0), other.get(name, 0))
            for name in mine.explained.keys() | card["explained"].keys():
                self.same(f"{what} explained {name}", mine.explained.get(name, 0), card["explained"].get(name, 0))
            self.same(f"{what} rating", mine.rating, card["rating"])
            self.buckets(what, mine.buckets(self.oracle.settings), dict(flat(card["buckets"])))
            there = pairs.get(at, no_pairs)
            have, then = ({self.names.get((at[0], i), i): n for i, n in there[which].items()} for which in ("pairs", "next"))
            self.pairs(what, mine.pairs, have)
            self.next(what, mine, have, then)
            self.same(f"{what} next_sum", mine.next_sum, there["next_sum"])

    def buckets(self, what, mine, theirs):
        for at in mine.keys() | theirs.keys():
            one, other = mine.get(at, {}), theirs.get(at, {})
            for name in one.keys() | other.keys():
                self.same(f"{what} {' '.join(at)} {name}", one.get(name, 0), other.get(name, 0))

    def pairs(self, what, want, have):
        """Where more than `entity.neighbours` were ever there, which ones stay is the entity stage's to say; but none may exceed the truth."""
        bounded = len(want) > self.neighbours
        for other in have if bounded else have.keys() | want.keys():
            mine, theirs = want.get(other, 0), have.get(other, 0)
            self.same(f"{what} pair {other}", min(mine, theirs) if bounded else mine, theirs)

    def next(self, what, entity, pairs, have):
        """A pair that is at 0 for a while may leave, and its transitions with it: of one that ever sank none may be more than the truth."""
        bounded = len(entity.pairs) > self.neighbours
        for other in pairs.keys() | have.keys():
            mine, theirs = entity.next.get(other, 0), have.get(other, 0)
            self.same(f"{what} next {other}", min(mine, theirs) if bounded or other in entity.sinking else mine, theirs)

    def letters(self, letters):
        for at in self.oracle.dead.keys() | letters.keys():
            mine, theirs = self.oracle.dead.get(at, set()), letters.get(at, set())
            self.compared += 1
            if not mine or not theirs or not theirs <= mine:
                self.differences.append(f"dead letter {at}: the oracle has {sorted(mine)}, Kafka {sorted(theirs)}")


class Check:
    """Follows the logs: every call of `compare` reads on from where the one before ended."""
    def __init__(self, brokers, sluice="build/server/verbs/sluice", config=None):
        self.settings = load("sluice.json")
        if config:
            with open(config) as file:
                self.settings = merge(self.settings, json.load(file))
        self.brokers, self.sluice, self.config, self.key = brokers, sluice, config, DEMO_KEY
        if self.settings["user_key_file"]:
            with open(self.settings["user_key_file"], "rb") as file:
                self.key = file.read()
        self.kafka = kafka.Kafka(brokers, 60)
        self.oracle = Oracle(self.settings)
        self.next, self.letters, self.lines = {}, {}, []
        self.compared, self.differences = 0, []

    def records(self, topic):
        """Those behind what was read before, with their partition in front."""
        for p in self.kafka.partitions(topic):
            start, end = self.kafka.ends(topic, p)
            for record in self.kafka.records(topic, p, self.next.get((topic, p), start), end):
                yield p, *record
            self.next[topic, p] = end

    def read(self):
        topics = self.settings["kafka"]["topics"]
        for p, offset, stamp, key, value, _ in self.records(topics["events"]):
            self.oracle.record(p, offset, stamp, key, value)
        for _, _, _, _, _, headers in self.records(topics["deadletter"]):
            if headers["__errors.topic"].decode() == topics["events"]:
                at = int(headers["__errors.partition"]), int(headers["__errors.offset"])
                self.letters.setdefault(at, set()).add(headers["__errors.exception"].decode())

    def dump(self, redis):
        command = [self.sluice, "digest", "--dump", "--brokers", self.brokers, "--redis", redis]
        said = subprocess.run(command + (["--config", self.config] if self.config else []), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if said.returncode:
            raise RuntimeError(said.stderr.decode()[-500:])
        return [json.loads(line) for line in said.stdout.splitlines()]

    def compare(self, redis):
        self.read()
        self.lines = self.dump(redis)
        done = Comparison(self.oracle, self.lines, self.letters, self.key)
        self.compared, self.differences = done.compared, done.differences
        return self


# that it can fail -----------------------------------------------------------------------------------------------------

def numbers(value, path=()):
    """Every number and flag of a line, with the way to it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, path + (name,))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from numbers(inner, path + (i,))
    elif isinstance(value, (int, bool)):
        yield path, value


def family(line, path):
    """Figures that are of one kind: the same but for whose they are."""
    if path[0] == "history":
        return "history", line["history"][path[1]]["kind"], path[2]
    if path[0] in ("owned", "relations"):
        return path[0], path[2]
    if path[0] == "scenes":
        return line["kind"], path[2]
    if path[0] == "buckets":
        return line["kind"], path[1], path[-1] if path[1] == "minutes" else path[-2:]
    return (line.get("kind", "user"), *(path[:1] if path[0] in ("pairs", "next") else path))


def changed(value):
    return not value if isinstance(value, bool) else value + 1000


def damaged(lines):
    """The lines with one figure of every kind changed, and what was changed: each is a difference of its own."""
    seen, out = [], copy.deepcopy(lines)
    for line in out:
        for path, value in list(numbers(line)):
            kind = family(line, path)
            if kind in seen:
                continue
            seen.append(kind)
            place = line
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = changed(value)
    return out, seen


def incomplete(lines):
    """(what, lines): a line of each sort left out, and two places of a history changed."""
    for whole in ("history", "pairs", "scenes", "owned", "relations"):
        at = next(i for i, line in enumerate(lines) if line.get(whole))
        yield f"a line with {whole} left out", lines[:at] + lines[at + 1:]
    at = next(i for i, line in enumerate(lines) if any("host" in one for one in line.get("owned", ())))
    one = next(i for i, one in enumerate(lines[at]["owned"]) if "host" in one)
    for what, path in (("currency", ("currency",)), ("item", ("item", "id")), ("source for the item", ("item", "source")), ("source for the host", ("host", "source"))):
        other = copy.deepcopy(lines[at])
        place = other["owned"][one] if len(path) == 1 else other["owned"][one][path[0]]
        place[path[-1]] = "another"
        yield f"another {what} of a purchase", lines[:at] + [other] + lines[at + 1:]
    at = next(i for i, line in enumerate(lines) if line.get("relations"))
    yield "a follow or block left out", lines[:at] + [{**lines[at], "relations": lines[at]["relations"][1:]}] + lines[at + 1:]
    for level in ("minutes", "hours", "days", "explained_days"):
        at, start = next((i, s) for i, line in enumerate(lines) for s in line.get("buckets", {}).get(level, ()))
        other = copy.deepcopy(lines[at])
        del other["buckets"][level][start]
        yield f"a bucket of {level} left out", lines[:at] + [other] + lines[at + 1:]
    for at, line in enumerate(lines):
        items = [i for i, e in enumerate(line.get("history", ())) if e["kind"] == "item"]
        if len(items) > 1:
            other = copy.deepcopy(line)
            one, two = (other["history"][i] for i in items[:2])
            one["id"], two["id"] = two["id"], one["id"]
            yield "two items of a history in the other order", lines[:at] + [other] + lines[at + 1:]
            return


def unseen(oracle, lines, letters, key):
    """(how many damages were tried, those that nothing was reported of)."""
    def count(other, others=letters):
        return len(Comparison(oracle, other, others, key).differences)
    before, (other, kinds) = count(lines), damaged(lines)
    found, tried, missed = count(other) - before, len(kinds), []
    if found < tried:
        missed.append(f"{tried - found} of {tried} changed figures")
    for what, other in incomplete(lines):
        tried += 1
        missed += [what] if count(other) <= before else []
    at = next(iter(letters), (0, 0))
    rest = {k: v for k, v in letters.items() if k != at}
    for what, others in (("a dead letter left out", rest), ("another reason", {**rest, at: {"nothing"}}), ("one more", {**letters, (-1, 0): {"late"}})):
        tried += 1
        missed += [what] if count(lines, others) <= before else []
    return tried, missed


def folded(records, settings):
    oracle = Oracle(settings)
    for at, record in records:
        oracle.record(0, at, *record)
    return oracle


def self_test(events=1500, a_type=1):
    settings = load("sluice.json")
    drawn = edges.Edges(1, 1_764_000_000_000)
    records = list(enumerate(drawn.record() for _ in range(events)))
    whole = folded(records, settings)
    lines, letters = list(lines_of(whole, DEMO_KEY)), {at: set(list(r)[:1]) for at, r in whole.dead.items()}
    same = Comparison(whole, lines, letters)
    tried, missed = unseen(whole, lines, letters, DEMO_KEY)
    left = {}
    for at, (_, _, value) in records:
        if (0, at) not in whole.dead and at % 7 == 0:
            left.setdefault(json.loads(value)["type"], []).append(at)
    for name, some in left.items():
        for at in some[:a_type]:
            tried += 1
            if not Comparison(folded([r for r in records if r[0] != at], settings), lines, letters).differences:
                missed.append(f"{name} {at} left out")
    print(f"{same.compared} values compared, {len(same.differences)} differences; {tried} damages, {len(missed)} not seen", *missed, sep="\n  ")
    return not same.differences and not missed and tried > 100 and len(left) > 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers")
    parser.add_argument("--redis")
    parser.add_argument("--sluice", default="build/server/verbs/sluice")
    parser.add_argument("--config")
    parser.add_argument("--damage", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        sys.exit(0 if self_test() else 1)
    done = Check(options.brokers, sluice=options.sluice, config=options.config).compare(options.redis)
    print(*done.differences[:100], sep="\n")
    print(f"{done.oracle.folded} events, {len(done.oracle.dead)} dead letters, {done.compared} values compared, {len(done.differences)} differences")
    good = not done.differences and done.oracle.folded > 0
    if options.damage:
        tried, missed = unseen(done.oracle, done.lines, done.letters, done.key)
        print(f"{tried} damages, {len(missed)} not seen", *missed, sep="\n  ")
        good = good and tried > 0 and not missed
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
