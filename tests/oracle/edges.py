#!/usr/bin/python3
"""Events that lie on the edges of the contract: few users, rooms and items, so that bounds, windows, duplicates, orders and refunds meet.

  edges.py --brokers LIST [--events N] [--seed S] [--config FILE]     writes them to live.events
"""
import argparse
import json
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import kafka  # noqa: E402

DAY_MS = 86_400_000


def murmur2(data):
    """As the Java client hashes keys."""
    m, mask = 0x5bd1e995, 0xffffffff
    h = (0x9747b28c ^ len(data)) & mask
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at:at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


class Edges:
    """Draws events one after the other: (record timestamp, key, value)."""
    TYPES = ["impression"] * 4 + ["click", "enter", "enter", "leave", "leave"] + ["watch"] * 6 + ["chat", "question", "like", "share", "follow", "unfollow",
             "browse", "browse", "cart", "cart", "vote", "gift", "trial", "progress", "dislike", "block"] + ["purchase"] * 4 + ["refund"] * 4 + ["rating"] * 3

    def __init__(self, seed, start_ms, users=24, items=90, hosts=16, rooms=80):
        self.random = random.Random(seed)
        self.sizes = {"item": items, "host": hosts, "room": rooms}
        self.users, self.now_ms, self.serial, self.sent = users, start_ms, 0, []
        self.orders = {}

    def name(self, kind):
        size = self.sizes[kind]
        return f"{kind[0]}_{int(size * self.random.random() ** 2)}"

    def money(self, event):
        event["currency"] = self.random.choice(["CNY", "CNY", "USD", "JPY", "TWD"])
        event["amount"] = self.random.choice([0, 1, 99, 333, 4790, 100001])

    def event(self):
        draw = self.random
        self.serial += 1
        user = f"u_{int(self.users * draw.random() ** 2)}"
        kind = "forget" if draw.random() < 0.002 else draw.choice(self.TYPES)
        event = {"v": 1, "id": f"e{self.serial}", "ts": self.now_ms - draw.choice([0, 0, 0, 5, 1000, 61000]), "type": kind, "user": user, "scene": draw.choice(["home", "home", "home", "night"])}
        room = self.name("room")
        needs = {"browse": "i", "cart": "i", "trial": "i", "purchase": "i", "rating": "i", "progress": "i", "follow": "h", "unfollow": "h"}
        if kind in ("dislike", "block"):
            one = draw.choice(["room", "host", "item"])
            event[one] = self.name(one)
        elif kind not in ("forget", "refund"):
            if draw.random() < 0.8 or kind not in needs:
                event["room"] = room
            if draw.random() < 0.8 or needs.get(kind) == "h":
                event["host"] = f"h_{hash_of(room) % self.sizes['host']}"
            if needs.get(kind) == "i" or draw.random() < 0.3:
                event["item"] = self.name("item")
            if draw.random() < 0.4:
                event["explaining"] = self.name("item")
        if draw.random() < 0.2:
            event["source"] = draw.choice(["feed", "follow", "search", "ad", "organic", "recommendation", "elsewhere"])
        if draw.random() < 0.1:
            event["rec"] = f"0-{self.serial}-1-0"
        self.particulars(event, draw)
        return event

    def particulars(self, event, draw):
        kind, user = event["type"], event["user"]
        if kind == "watch":
            event["dwell_ms"] = draw.choice([0, 999, 1500, 2999, 3000, 15000, 60000, 300000, 600000, 600001, 2000000])
        elif kind == "vote":
            event["option"] = "a"
        elif kind == "progress":
            event["percent"] = draw.choice([0, 50, 100])
        elif kind == "gift":
            self.money(event)
        elif kind == "rating":
            event["value"] = draw.randint(1, 5)
            if self.orders.get(user) and draw.random() < 0.7:
                event["item"] = draw.choice(self.orders[user])[1]
        elif kind == "purchase":
            known = self.orders.setdefault(user, [])
            event["order"] = draw.choice(known)[0] if known and draw.random() < 0.3 else f"o{self.serial}"
            if known and draw.random() < 0.05:
                event["order"], event["item"] = draw.choice(known)
            self.money(event)
            if draw.random() < 0.3:
                event["qty"] = draw.randint(1, 4)
            known.append((event["order"], event["item"]))
        elif kind == "refund":
            known = self.orders.get(user)
            event["order"] = draw.choice(known)[0] if known and draw.random() < 0.95 else "nowhere"
            event["amount"] = draw.choice([0, 1, 50, 99, 333, 2000, 4790])
            if draw.random() < 0.2:
                event["currency"] = draw.choice(["CNY", "USD"])
            if draw.random() < 0.2:
                event["room"], event["host"] = self.name("room"), self.name("host")
            if known and draw.random() < 0.2:
                event["item"] = draw.choice(known)[1]

    def record(self):
        draw = self.random
        self.now_ms += draw.choice([0, 1, 20, 700, 2500, 9000]) if draw.random() < 0.999 else draw.choice([1, 4]) * 3_600_000
        roll = draw.random()
        if roll < 0.03 and self.sent:  # an id again, the same event or another
            event = dict(draw.choice(self.sent[-200:]))
            if draw.random() < 0.3:
                event = {**self.event(), "id": event["id"], "user": event["user"]}
        else:
            event = self.event()
            self.sent.append(event)
        stamp = self.now_ms
        if roll > 0.98:
            event["ts"] = stamp + draw.choice([-DAY_MS - 1, -DAY_MS, -DAY_MS + 1, 300_000, 300_001, 299_999])
        value = json.dumps(event, separators=(",", ":")).encode()
        key = event["user"].encode()
        if 0.96 < roll < 0.97:
            key, value = self.damaged(key, event)
        return stamp, key, value

    def damaged(self, key, event):
        draw, event = self.random, dict(event)
        what = draw.randrange(12)
        if what == 0:
            event.pop(draw.choice(list(event)))
        elif what == 1:
            event["v"] = draw.choice([2, "1", None, 1.5])
        elif what == 2:
            event["type"] = draw.choice(["wath", "", 7, None])
        elif what == 3:
            event[draw.choice(["user", "room", "scene", "host", "item"])] = draw.choice(["", "a b", "x" * 65, 5, None, "\u00e9", "ok\n"])
        elif what == 4:
            event["ts"] = draw.choice([0, -1, 1.5, "1", None, 2**53 + 1])
        elif what == 5:
            event["pad"] = "x" * draw.choice([17000, 16384])
        elif what == 6:
            return key, draw.choice([b"", b"{", b"[]", b"7", b"null", b'{"v":1,"v":1}', b"{}x"])
        elif what == 7:
            key = draw.choice([b"other", b""])
        elif what == 8:
            event["deep"] = [[[[[[[[1]]]]]]]]
        elif what == 9:
            event.update({f"k{i}": 1 for i in range(70)})
        elif what == 10:
            event["currency"] = draw.choice(["ZZZ", "cny", "CN", 5])
            event["amount"] = draw.choice([-1, 2**60, "1", 1.5, 5 * 10**8])
        else:
            event["id"] = draw.choice(["", "x" * 65, "\u00e9" * 33, 5])
        return key, json.dumps(event, ensure_ascii=draw.random() < 0.5).encode()


def hash_of(name):
    return murmur2(name.encode()) & 0x7fffffff


def send(brokers, topic, records, step=500):
    client = kafka.Kafka(brokers, 60)
    many = len(client.partitions(topic))
    parts = {}
    for stamp, key, value in records:
        parts.setdefault((murmur2(key) & 0x7fffffff) % many, []).append((key, value, stamp))
    for p, some in parts.items():
        for at in range(0, len(some), step):
            client.produce(topic, p, kafka.batch(some[at:at + step], some[at][2]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", default="live.events")
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    edges = Edges(options.seed, int(time.time() * 1000) - 4 * DAY_MS)  # a log keeps by these timestamps
    send(options.brokers, options.topic, [edges.record() for _ in range(options.events)])


if __name__ == "__main__":
    main()
