#!/usr/bin/python3
"""What nobody should send, through Kafka to a running worker.

  hostile.py corpus  --brokers B --pid P     each record of the corpus: a dead letter with the reason stated here
  hostile.py cost    --brokers B --pid P     CPU and memory of the worst records of 16 KiB, class by class
  hostile.py flood   --brokers B --pid P --records N --http H     N of them at rate: all refused, memory flat
  hostile.py pace    --brokers B --seconds S --rate N    the same in the background of something else
  hostile.py catalog --brokers B --file F --places OUT   the catalog of a file of `sluice simulate`, and its open rooms
"""
import argparse
import json
import os
import random
import statistics
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import kafka  # noqa: E402

LIMIT = 16384
CPU_MS, MEMORY_BYTES = 2.0, 1 << 20
ROUND = 10000
HERE = "live.events"


def good(**change):
    event = {"v": 1, "id": "e1", "ts": int(time.time() * 1000), "type": "like", "user": "u", "scene": "home", "room": "r", "host": "h", "item": "c"}
    event.update(change)
    return {name: value for name, value in event.items() if value is not None}


def dumps(event):
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def with_raw(name, raw):
    """The good event with a field whose value stands as it is."""
    body = dumps(good(**{name: "@"}))
    return body.replace(b'"%s":"@"' % name.encode(), b'"%s":%s' % (name.encode(), raw))


def extra(raw, size=LIMIT):
    """The good event with an unknown field, filled up to `size`."""
    head, tail = dumps(good())[:-1] + b',"x":', b"}"
    return head + raw(size - len(head) - len(tail)) + tail


def corpus():
    """(name, key, value, reasons)."""
    u, big = b"u", 10 ** 400
    yield "empty", u, b"", "malformed"
    yield "no value", u, None, "malformed too_large"
    yield "spaces", u, b" " * 100, "malformed"
    yield "byte order mark", u, b"\xef\xbb\xbf" + dumps(good()), "malformed"
    yield "NUL behind", u, dumps(good()) + b"\0", "malformed"
    yield "NUL within a text", u, with_raw("id", b'"a\0b"'), "malformed"
    yield "escaped NUL", u, with_raw("id", b'"a\\u0000b"'), "malformed bad_id"
    yield "control character in a user", b"a\x01b", with_raw("user", b'"a\\u0001b"'), "bad_id"
    yield "raw control character", u, with_raw("id", b'"a\x01b"'), "malformed"
    yield "line feed in a room", u, with_raw("room", b'"r\\n1"'), "bad_id"
    yield "key names in a room", u, dumps(good(room="r}:x{")), "bad_id"
    yield "slashes in a host", u, dumps(good(host="../../etc")), "bad_id"
    yield "letters of other scripts", u, dumps(good(item="课程")), "bad_id"
    yield "an id of 65 bytes", u, dumps(good(id="x" * 65)), "bad_id"
    yield "an empty id", u, dumps(good(id="")), "bad_id"
    yield "invalid UTF-8", u, with_raw("id", b'"\xff\xfe"'), "malformed"
    yield "overlong UTF-8", u, with_raw("id", b'"\xc0\xaf"'), "malformed"
    yield "a surrogate in UTF-8", u, with_raw("id", b'"\xed\xa0\x80"'), "malformed"
    yield "half a surrogate pair", u, with_raw("id", b'"\\ud800"'), "malformed"
    yield "a cut escape", u, with_raw("id", b'"\\u12"'), "malformed"
    yield "duplicate keys", u, dumps(good())[:-1] + b',"type":"like"}', "malformed"
    yield "duplicate unknown keys", u, dumps(good())[:-1] + b',"x":1,"x":1}', "malformed"
    yield "trailing comma", u, dumps(good())[:-1] + b",}", "malformed"
    yield "something behind", u, dumps(good()) + b"{}", "malformed"
    yield "an array", u, b"[" + dumps(good()) + b"]", "malformed"
    yield "a number", u, b"7", "malformed"
    yield "a comment", u, b"/* */" + dumps(good()), "malformed"
    yield "single quotes", u, dumps(good()).replace(b'"', b"'"), "malformed"
    yield "NaN", u, with_raw("ts", b"NaN"), "malformed"
    yield "hexadecimal", u, with_raw("ts", b"0x10"), "malformed"
    yield "a leading zero", u, with_raw("ts", b"01"), "malformed"
    yield "a huge integer", u, with_raw("ts", str(big).encode()), "malformed bad_value"
    yield "a huge exponent", u, with_raw("amount", b"1e999"), "malformed bad_value"
    yield "a million digits of nothing", u, with_raw("amount", b"0." + b"0" * 9000 + b"1"), "bad_value malformed"
    yield "a real for an integer", u, with_raw("ts", b"1.5e12"), "bad_value"
    yield "minus zero", u, with_raw("ts", b"-0"), "bad_value"
    yield "beyond 64 bits", u, with_raw("amount", b"9223372036854775808"), "malformed bad_value"
    yield "a negative amount", u, dumps(good(type="gift", amount=-1, currency="CNY")), "bad_value"
    yield "a text for a number", u, dumps(good(ts="1")), "bad_value"
    yield "a number for a text", u, dumps(good(room=1)), "bad_id"
    yield "an object for a text", u, dumps(good(room={})), "bad_id"
    yield "null for a text", u, with_raw("room", b"null"), "bad_id"
    yield "an unknown type", u, dumps(good(type="dance")), "bad_type"
    yield "no type", u, dumps(good(type=None)), "missing_field"
    yield "no version", u, dumps(good(v=None)), "missing_field"
    yield "version 2", u, dumps(good(v=2)), "bad_version"
    yield "version 1.0", u, with_raw("v", b"1.0"), "bad_version"
    yield "no scene", u, dumps(good(scene=None)), "missing_field"
    yield "another key", b"w", dumps(good()), "key_mismatch"
    yield "no key", None, dumps(good()), "key_mismatch"
    yield "nothing to like", u, dumps(good(room=None, host=None, item=None)), "missing_field"
    yield "two to block", u, dumps(good(type="block", item=None)), "missing_field"
    yield "an unknown currency", u, dumps(good(type="gift", amount=1, currency="ABC")), "unknown_currency"
    yield "a currency of two letters", u, dumps(good(type="gift", amount=1, currency="CN")), "bad_value"
    yield "too much money", u, dumps(good(type="gift", amount=1 << 52, currency="CNY")), "amount_too_large"
    yield "a refund of nothing", u, dumps(good(type="refund", order="o", amount=1)), "unknown_order"
    yield "a week late", u, dumps(good(ts=int(time.time() * 1000) - 7 * 86400000)), "late"
    yield "tomorrow", u, dumps(good(ts=int(time.time() * 1000) + 86400000)), "early"
    yield "nine deep", u, extra(lambda n: b"[" * 8 + b"]" * 8, 0), "too_complex"
    yield "sixty-five keys", u, dumps({**good(), **{f"k{i}": 1 for i in range(60)}}), "too_complex"
    yield "one byte too many", u, extra(lambda n: b'"' + b"x" * (n - 2) + b'"', LIMIT + 1), "too_large"
    yield "a text of nearly 1 MiB", u, extra(lambda n: b'"' + b"x" * (n - 2) + b'"', 1040000), "too_large"
    yield "half a mebibyte of brackets", u, b"[" * (1 << 19), "too_large"
    for name, value in worst():
        yield name, u, value, "malformed too_complex"


def worst():
    """Records of 16 KiB that make a parser work."""
    brackets = LIMIT // 2
    yield "brackets to the end", b"[" * LIMIT
    yield "brackets and back", b"[" * brackets + b"]" * brackets
    yield "objects in objects", (b'{"a":' * (LIMIT // 6))[:LIMIT]
    yield "keys and keys", extra(lambda n: b"{" + b",".join(b'"%04x":0' % i for i in range((n - 2) // 9)) + b"}")
    yield "the same key", (b"{" + b",".join(b'"v":1' for _ in range(LIMIT // 6 - 1)))[:LIMIT - 1] + b"}"
    yield "escapes", extra(lambda n: b'"' + b"\\u0041" * ((n - 3) // 6) + b'\xff"')
    yield "surrogate pairs", extra(lambda n: b'"' + b"\\ud83d\\ude00" * ((n - 4) // 12) + b'\\"')
    yield "digits", extra(lambda n: b"9" * (n - 1) + b"x")
    yield "a real of many digits", extra(lambda n: b"0." + b"7" * (n - 4) + b"e,")
    yield "spaces to the end", b"{" + b" " * (LIMIT - 1)
    yield "text without an end", extra(lambda n: b'"' + b"x" * (n - 1))
    yield "text of three-byte letters", extra(lambda n: b'"' + "课".encode() * ((n - 3) // 3) + b'\xe8"')
    yield "an array of numbers", extra(lambda n: b"[" + b"1," * ((n - 2) // 2) + b"]")
    yield "an array of literals", extra(lambda n: b"[" + b"true," * ((n - 3) // 5) + b"]")


def cpu_ms(pid):
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_growth(client, letters, pid, value):
    """How much the peak of resident memory rises over what stood before, for one record."""
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")
    before = rss(pid)
    client.produce(HERE, 1, kafka.batch([(b"u", value)]))
    letters.wait(1)
    letters.at = {p: client.ends("live.deadletter", p)[1] for p in letters.at}
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")) - before


def least_growth(client, letters, pid, value):
    """Of three, for what else the process does meanwhile only adds."""
    growth = peak_growth(client, letters, pid, value)
    for _ in range(2):
        growth = growth if growth <= MEMORY_BYTES else min(growth, peak_growth(client, letters, pid, value))
    return growth


class DeadLetters:
    def __init__(self, client):
        self.client = client
        self.at = {p: client.ends("live.deadletter", p)[1] for p in client.partitions("live.deadletter")}

    def read(self):
        for p in self.at:
            end = self.client.ends("live.deadletter", p)[1]
            for offset, _, key, value, headers in self.client.records("live.deadletter", p, self.at[p], end):
                self.at[p] = offset + 1
                yield key, value, {name: v.decode("utf-8", "replace") for name, v in headers.items()}

    def wait(self, count, seconds=60):
        """The number of letters that came, at least `count` unless time is up."""
        before, until = sum(self.at.values()), time.monotonic() + seconds
        while time.monotonic() < until:
            now = sum(self.client.ends("live.deadletter", p)[1] for p in self.at)
            if now - before >= count:
                break
            time.sleep(0.05)
        return sum(self.client.ends("live.deadletter", p)[1] for p in self.at) - before


def run_corpus(client, options):
    letters, wanted, bad = DeadLetters(client), {}, 0
    for name, key, value, reasons in corpus():
        offset = client.produce(HERE, 0, kafka.batch([(key, value)]))
        wanted[offset] = (name, key, value, reasons.split())
    letters.wait(len(wanted))
    got = {}
    for key, value, headers in letters.read():
        if headers.get("__errors.topic") == HERE and headers.get("__errors.partition") == "0":
            got[int(headers["__errors.offset"])] = (key, value, headers.get("__errors.exception"))
    for offset, (name, key, value, reasons) in wanted.items():
        if offset not in got:
            print(f"{name}: no dead letter")
        elif got[offset][2] not in reasons:
            print(f"{name}: refused as {got[offset][2]}, not as {' or '.join(reasons)}")
        elif len(value or b"") <= LIMIT and (got[offset][0] or b"", got[offset][1] or b"") != (key or b"", value or b""):
            print(f"{name}: key or value changed on the way")
        else:
            continue
        bad += 1
    print(f"{len(wanted)} records, {len(got)} dead letters, {bad} not as they should be")
    return not bad and os.path.exists(f"/proc/{options.pid}")


def run_cost(client, options):
    good_all, copies, most = True, 320, 0
    letters = DeadLetters(client)
    for name, value in worst():
        assert len(value) <= LIMIT + 1, (name, len(value))
        growth = least_growth(client, letters, options.pid, value)
        data = kafka.batch([(b"u", value)] * 32)
        before_ms = cpu_ms(options.pid)
        for _ in range(copies // 32):
            client.produce(HERE, 1, data)
        came = letters.wait(copies)
        letters.at = {p: client.ends("live.deadletter", p)[1] for p in letters.at}
        each = (cpu_ms(options.pid) - before_ms) / copies
        most = max(most, each)
        fine = came >= copies and each <= CPU_MS and growth <= MEMORY_BYTES
        good_all &= fine
        print(f"{'' if fine else 'TOO MUCH '}{name}: {each * 1000:.0f} us of CPU a record, peak memory {growth / 1024:+.0f} KiB for one, "
              f"{came} letters of {copies}")
    print(f"worst {most * 1000:.0f} us (at most {CPU_MS * 1000:.0f})")
    return good_all


def batches(count):
    """Of 200 small hostile records each, with no large one among them."""
    draw, pool = random.Random(7), [(k, v) for _, k, v, reason in corpus() if v is not None and len(v) < 2000]
    return [kafka.batch([draw.choice(pool) for _ in range(200)]) for _ in range(count)]


def refused(http):
    with urllib.request.urlopen(f"http://{http}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("sluice_dead_letters_total{"))


def flood(client, options, rounds, sizes):
    """Each round is sent at once and waited for, so that queues are as full in each whatever the machine does; then resident
    memory is looked at. Returns how many were sent and how many refused."""
    data, before = batches(40), refused(options.http)
    for n in range(1, rounds + 1):
        for i in range(ROUND // 200):
            client.produce(HERE, i % 16, data[(n * ROUND // 200 + i) % len(data)], 1)
        until = time.monotonic() + 120
        while refused(options.http) - before < n * ROUND and time.monotonic() < until:
            time.sleep(0.05)
        sizes.append(rss(options.pid))
    return rounds * ROUND, refused(options.http) - before


def run_flood(client, options):
    """The first rounds fill the heap to what a round needs. From round to round a heap with an arena a thread moves by some
    megabytes up and down (six million: 35 to 39 MB throughout), so medians are compared; and when a flood ends higher another
    one follows, at most three: a heap settles, a leak never does."""
    rounds = max(8, options.records // ROUND)
    flood(client, options, 4, [])
    for turn in range(3):
        start, sizes = time.monotonic(), []
        sent, came = flood(client, options, rounds, sizes)
        early, late = statistics.median(sizes[:rounds // 4]), statistics.median(sizes[-(rounds // 4):])
        print(f"{sent} records, {came:.0f} refused in {time.monotonic() - start:.0f} s; resident {early / 1e6:.1f} MB in the median of the first quarter, {late / 1e6:.1f} in that of the last")
        if came < sent or late - early <= 4 << 20:
            break
    return came >= sent and late - early <= 4 << 20


def run_pace(client, options):
    data, start = batches(40), time.monotonic()
    steps = int(options.seconds * options.rate / 200)
    for i in range(steps):
        client.produce(HERE, i % 16, data[i % len(data)], 1)
        time.sleep(max(0, start + (i + 1) * 200 / options.rate - time.monotonic()))
    return True


def run_catalog(client, options):
    records = [[] for _ in client.partitions("live.catalog")]
    with open(options.file) as file, open(options.places, "w") as places:
        for line in file:
            entry = json.loads(line)
            if entry.get("topic") != "live.catalog":
                continue
            key, value = entry["key"], entry["value"]
            records[sum(key.encode()) % len(records)].append((key.encode(), dumps(value) if value else None))
            if key.startswith("room:") and value and value["status"] == "open" and value["items"]:
                places.write(f"{key[5:]} {value['host']} {value['items'][0]}\n")
    for p, those in enumerate(records):
        for at in range(0, len(those), 500):
            client.produce("live.catalog", p, kafka.batch(those[at:at + 500]))
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("corpus", "cost", "flood", "pace", "catalog"))
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--pid", type=int)
    parser.add_argument("--records", type=int)
    parser.add_argument("--http")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--file")
    parser.add_argument("--places")
    options = parser.parse_args()
    sys.exit(0 if globals()[f"run_{options.verb}"](kafka.Kafka(options.brokers), options) else 1)


if __name__ == "__main__":
    main()
