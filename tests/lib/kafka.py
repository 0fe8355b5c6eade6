#!/usr/bin/python3
"""A small Kafka client of its own over the wire protocol, so that what tests conclude does not rest on librdkafka.

  kafka.py BROKERS produce TOPIC PARTITION KEY VALUE     VALUE @hex:… gives bytes
  kafka.py BROKERS ends TOPIC                            one line a partition: PARTITION START END
  kafka.py BROKERS delete-records TOPIC PARTITION OFFSET records below OFFSET are gone
  kafka.py BROKERS recreate TOPIC                        deleted and made again, with its settings
  kafka.py BROKERS copy TOPIC                            JSON lines of timestamp, offset, key and value, as `sluice backtest` reads them
"""
import json
import socket
import struct
import sys
import time

PRODUCE, FETCH, LIST_OFFSETS, METADATA, CREATE, DELETE, DELETE_RECORDS, DESCRIBE_CONFIGS = 0, 1, 2, 3, 19, 20, 21, 32
TRANSIENT = {3, 5, 6, 7, 9, 13, 19, 20, 56, 74, 75, 100}  # leader moves, topic not there yet, too few replicas


class KafkaError(Exception):
    def __init__(self, code, what):
        super().__init__(f"Kafka answers {code} to {what}")
        self.code = code


def text(value):
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values[0] if len(values) == 1 else values

    def text(self):
        size = self.take(">h")
        if size < 0:
            return None
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def bytes(self):
        size = self.take(">i")
        if size < 0:
            return b""
        self.at += size
        return self.data[self.at - size:self.at]

    def list(self, one):
        return [one() for _ in range(max(0, self.take(">i")))]


class Connection:
    def __init__(self, address, timeout_s=30):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.serial = 0

    def exactly(self, size):
        parts = []
        while size:
            part = self.socket.recv(min(size, 1 << 20))
            if not part:
                raise OSError("the broker closed the connection")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def ask(self, api, version, body):
        self.serial += 1
        head = struct.pack(">hhi", api, version, self.serial) + text("sluice-test")
        self.socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        answer = self.exactly(struct.unpack(">i", self.exactly(4))[0])
        return Reader(answer[4:])


def varint(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value & ~0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data, at):
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
        table.append(i)
    return table


CRC = crc_table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = CRC[(crc ^ byte) & 0xff] ^ crc >> 8
    return crc ^ 0xffffffff


def batch(records, now_ms=None):
    """A record batch of (key, value) or (key, value, timestamp)."""
    now_ms = now_ms or int(time.time() * 1000)
    out = bytearray()
    for i, record in enumerate(records):
        key, value = record[0], record[1]
        stamp = record[2] if len(record) > 2 else now_ms
        body = b"\0" + varint(stamp - now_ms) + varint(i)
        body += varint(-1) if key is None else varint(len(key)) + key
        body += varint(-1) if value is None else varint(len(value)) + value
        body += varint(0)
        out += varint(len(body)) + body
    count = len(records)
    tail = struct.pack(">hiqqqhii", 0, count - 1, now_ms, now_ms, -1, -1, -1, count) + bytes(out)
    return struct.pack(">qiibI", 0, len(tail) + 9, -1, 2, crc32c(tail)) + tail


def lz4_block(data, out):
    at, end = 0, len(data)
    while at < end:
        token = data[at]
        at += 1
        size = token >> 4
        if size == 15:
            while True:
                more = data[at]
                at, size = at + 1, size + more
                if more < 255:
                    break
        out += data[at:at + size]
        at += size
        if at >= end:
            return
        back = data[at] | data[at + 1] << 8
        at += 2
        size = (token & 15) + 4
        if size == 19:
            while True:
                more = data[at]
                at, size = at + 1, size + more
                if more < 255:
                    break
        place = len(out) - back
        while size > 0:
            part = out[place:place + min(size, back)]
            out += part
            size -= len(part)


def lz4_frame(data):
    flags, at, out = data[4], 6, bytearray()
    at += (8 if flags & 8 else 0) + (4 if flags & 1 else 0) + 1
    while True:
        size = struct.unpack_from("<I", data, at)[0]
        at += 4
        if size == 0:
            return bytes(out)
        block = data[at:at + (size & 0x7fffffff)]
        at += len(block) + (4 if flags & 16 else 0)
        if size >> 31:
            out += block
        else:
            lz4_block(block, out)


def records_of(data, start):
    """(offset, timestamp, key, value, headers) from `start` on; a batch that is cut off at the end is left out."""
    at = 0
    while at + 61 <= len(data):
        base, size = struct.unpack_from(">qi", data, at)
        if at + 12 + size > len(data):
            return
        attributes = struct.unpack_from(">h", data, at + 21)[0]
        first_ms, max_ms = struct.unpack_from(">qq", data, at + 27)
        count = struct.unpack_from(">i", data, at + 57)[0]
        place, end = at + 61, at + 12 + size
        at = end
        if attributes & 0x20:
            continue
        if attributes & 7 not in (0, 3):
            raise ValueError("of compressed batches only those by LZ4 are read here")
        body = lz4_frame(data[place:end]) if attributes & 7 else data
        place = 0 if attributes & 7 else place
        for _ in range(count):
            length, place = read_varint(body, place)
            end = place + length
            delta_ms, place = read_varint(body, place + 1)
            step, place = read_varint(body, place)
            size, place = read_varint(body, place)
            key = None if size < 0 else body[place:place + size]
            place += max(size, 0)
            size, place = read_varint(body, place)
            value = None if size < 0 else body[place:place + size]
            place += max(size, 0)
            headers = {}
            many, place = read_varint(body, place)
            for _ in range(many):
                size, place = read_varint(body, place)
                name, place = body[place:place + size].decode(), place + size
                size, place = read_varint(body, place)
                headers[name] = body[place:place + max(size, 0)]
                place += max(size, 0)
            place = end
            if base + step >= start:
                yield base + step, max_ms if attributes & 8 else first_ms + delta_ms, key, value, headers


class Kafka:
    def __init__(self, brokers, patience_s=30):
        self.seeds, self.patience_s = brokers.split(","), patience_s
        self.links, self.known = {}, None

    def close(self):
        for link in self.links.values():
            link.socket.close()
        self.links, self.known = {}, None

    def any(self):
        last = None
        for seed in [*self.links, *self.seeds]:
            try:
                return self.link(seed)
            except OSError as error:
                last = error
        raise last

    def link(self, address):
        if address not in self.links:
            self.links[address] = Connection(address)
        return self.links[address]

    def patiently(self, what):
        """Runs `what` until it works; brokers come and go in these tests."""
        until = time.monotonic() + self.patience_s
        while True:
            try:
                return what()
            except (OSError, struct.error) as error:
                self.close()
                if time.monotonic() > until:
                    raise error
            except KafkaError as error:
                self.known = None
                if error.code not in TRANSIENT or time.monotonic() > until:
                    raise
            time.sleep(0.1)

    def metadata(self):
        r = self.any().ask(METADATA, 4, struct.pack(">ib", -1, 0))
        r.take(">i")
        nodes = {}
        for _ in range(r.take(">i")):
            node, host, port = r.take(">i"), r.text(), r.take(">i")
            r.text()
            nodes[node] = f"{host}:{port}"
        r.text()
        controller = r.take(">i")
        topics = {}
        for _ in range(r.take(">i")):
            error, name, _ = r.take(">h"), r.text(), r.take(">b")
            parts = {}
            for _ in range(r.take(">i")):
                _, partition, leader = r.take(">hii")
                replicas, alive = r.list(lambda: r.take(">i")), r.list(lambda: r.take(">i"))
                parts[partition] = (leader, len(replicas), len(alive))
            if not error:
                topics[name] = parts
        self.known = {"nodes": nodes, "controller": controller, "topics": topics}
        return self.known

    def leader(self, topic, partition):
        known = self.known or self.metadata()
        if topic not in known["topics"] or partition not in known["topics"][topic]:
            raise KafkaError(3, topic)
        node = known["topics"][topic][partition][0]
        if node not in known["nodes"]:
            raise KafkaError(5, topic)
        return self.link(known["nodes"][node])

    def partitions(self, topic):
        def ask():
            known = self.metadata()
            if topic not in known["topics"]:
                raise KafkaError(3, topic)
            return sorted(known["topics"][topic])
        return self.patiently(ask)

    def wait_replicated(self):
        """Until every partition has all its replicas in sync."""
        def ask():
            if any(alive < replicas for parts in self.metadata()["topics"].values() for _, replicas, alive in parts.values()):
                raise KafkaError(19, "Metadata")
        self.patiently(ask)

    def offset(self, topic, partition, when):
        def ask():
            body = struct.pack(">ii", -1, 1) + text(topic) + struct.pack(">iiq", 1, partition, when)
            r = self.leader(topic, partition).ask(LIST_OFFSETS, 1, body)
            r.take(">i"), r.text(), r.take(">i")
            _, error, _, offset = r.take(">ihqq")
            if error:
                raise KafkaError(error, "ListOffsets")
            return offset
        return self.patiently(ask)

    def ends(self, topic, partition):
        return self.offset(topic, partition, -2), self.offset(topic, partition, -1)

    def all_ends(self, topics):
        """End offsets of every partition: {(topic, partition): end}."""
        def ask():
            known, by_leader, out = self.metadata(), {}, {}
            for topic in topics:
                for partition in known["topics"][topic]:
                    by_leader.setdefault(self.leader(topic, partition), {}).setdefault(topic, []).append(partition)
            for link, wanted in by_leader.items():
                body = struct.pack(">ii", -1, len(wanted))
                for topic, parts in wanted.items():
                    body += text(topic) + struct.pack(">i", len(parts)) + b"".join(struct.pack(">iq", p, -1) for p in parts)
                r = link.ask(LIST_OFFSETS, 1, body)
                for _ in range(r.take(">i")):
                    topic = r.text()
                    for _ in range(r.take(">i")):
                        partition, error, _, end = r.take(">ihqq")
                        if error:
                            raise KafkaError(error, "ListOffsets")
                        out[topic, partition] = end
            return out
        return self.patiently(ask)

    def produce(self, topic, partition, data, acks=-1):
        """Answers the base offset of the batch."""
        def ask():
            body = struct.pack(">hhi", -1, acks, 10000) + struct.pack(">i", 1) + text(topic)
            body += struct.pack(">iii", 1, partition, len(data)) + data
            r = self.leader(topic, partition).ask(PRODUCE, 3, body)
            r.take(">i"), r.text(), r.take(">i")
            _, error, offset, _ = r.take(">ihqq")
            if error:
                raise KafkaError(error, "Produce")
            return offset
        return self.patiently(ask)

    def fetch(self, topic, partition, offset, wait_ms=500):
        def ask():
            body = struct.pack(">iiiib", -1, wait_ms, 1, 8 << 20, 0) + struct.pack(">i", 1) + text(topic)
            body += struct.pack(">iiqi", 1, partition, offset, 8 << 20)
            r = self.leader(topic, partition).ask(FETCH, 4, body)
            r.take(">i"), r.take(">i"), r.text(), r.take(">i")
            _, error, _, _ = r.take(">ihqq")
            r.list(lambda: r.take(">qq"))
            if error:
                raise KafkaError(error, "Fetch")
            return r.bytes()
        return self.patiently(ask)

    def records(self, topic, partition, start, end):
        """All records of [start, end) that there are."""
        while start < end:
            last = start
            for record in records_of(self.fetch(topic, partition, start), start):
                if record[0] >= end:
                    return
                yield record
                last = record[0] + 1
            if last == start and self.offset(topic, partition, -1) <= start:
                return
            start = last

    def delete_records(self, topic, partition, offset):
        def ask():
            body = struct.pack(">i", 1) + text(topic) + struct.pack(">iiqi", 1, partition, offset, 10000)
            r = self.leader(topic, partition).ask(DELETE_RECORDS, 0, body)
            r.take(">i"), r.take(">i"), r.text(), r.take(">i")
            _, low, error = r.take(">iqh")
            if error:
                raise KafkaError(error, "DeleteRecords")
            return low
        return self.patiently(ask)

    def settings(self, topic):
        r = self.any().ask(DESCRIBE_CONFIGS, 1, struct.pack(">ib", 1, 2) + text(topic) + struct.pack(">ib", -1, 0))
        r.take(">i"), r.take(">i"), r.take(">h"), r.text(), r.take(">b"), r.text()
        out = {}
        for _ in range(r.take(">i")):
            name, value, _, source = r.text(), r.text(), r.take(">b"), r.take(">b")
            r.take(">b")
            r.list(lambda: (r.text(), r.text(), r.take(">b")))
            if source == 1:
                out[name] = value
        return out

    def recreate(self, topic):
        known = self.metadata()
        parts = known["topics"][topic]
        settings = self.settings(topic)
        any_broker = self.link(known["nodes"][known["controller"]])
        any_broker.ask(DELETE, 1, struct.pack(">i", 1) + text(topic) + struct.pack(">i", 10000))
        body = struct.pack(">i", 1) + text(topic) + struct.pack(">ihi", len(parts), parts[0][1], 0)
        body += struct.pack(">i", len(settings)) + b"".join(text(n) + text(v) for n, v in settings.items())

        def make():
            r = self.any().ask(CREATE, 2, body + struct.pack(">ib", 10000, 0))
            r.take(">i"), r.take(">i"), r.text()
            error = r.take(">h")
            if error == 36:  # the old one is still being deleted
                raise KafkaError(3, "CreateTopics")
            if error:
                raise KafkaError(error, "CreateTopics")
        self.patiently(make)
        self.patiently(lambda: [self.leader(topic, p) for p in parts])
        for p in parts:
            self.ends(topic, p)


def main(brokers, verb, topic, *rest):
    kafka = Kafka(brokers)
    if verb == "produce":
        value = bytes.fromhex(rest[2][5:]) if rest[2].startswith("@hex:") else rest[2].encode()
        print(kafka.produce(topic, int(rest[0]), batch([(rest[1].encode() or None, value)])))
    elif verb == "ends":
        for p in kafka.partitions(topic):
            print(p, *kafka.ends(topic, p))
    elif verb == "delete-records":
        print(kafka.delete_records(topic, int(rest[0]), int(rest[1])))
    elif verb == "recreate":
        kafka.recreate(topic)
    elif verb == "copy":
        for p in kafka.partitions(topic):
            for offset, stamp, key, value, _ in kafka.records(topic, p, *kafka.ends(topic, p)):
                print(json.dumps({"timestamp": stamp, "offset": offset, "key": (key or b"").decode(), "value": value.decode()}))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
