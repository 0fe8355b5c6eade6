"""Redis for tests: the protocol, servers that can be killed, a primary with its replica, a cluster of three and three."""
import atexit
import os
import shutil
import signal
import socket
import subprocess
import time

from proxy import Proxy


class RedisError(Exception):
    pass


HOLD_S_MAX = 4  # a replica is held back until there is something to lose, but no longer


class Client:
    def __init__(self, port, timeout_s=5):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.file = self.socket.makefile("rb")

    def answer(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            return RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(max(0, int(rest)))]
        return rest

    def send(self, *words):
        parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))

    def ask(self, *words):
        self.send(*words)
        answer = self.answer()
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def many(self, commands):
        for words in commands:
            self.send(*words)
        return [self.answer() for _ in commands]


def ask(port, *words):
    client = Client(port)
    try:
        return client.ask(*words)
    finally:
        client.socket.close()


def info(port, section):
    lines = ask(port, "INFO", section).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def wait_for(what, seconds=60):
    until = time.monotonic() + seconds
    while True:
        try:
            if what():
                return
        except (OSError, RedisError):
            pass
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds} s for {what.__name__}")
        time.sleep(0.02)


def commits_in(data):
    """Committed transactions in a piece of the replication stream or of an AOF."""
    return data.lower().count(b"$4\r\nexec\r\n")


class Server:
    def __init__(self, port, directory, *options):
        self.port, self.directory, self.options, self.process = port, directory, options, None
        atexit.register(self.kill)  # also when its cluster was never whole

    def start(self, *more):
        os.makedirs(self.directory, exist_ok=True)
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory, "--save", "", "--appendonly", "yes",
                 "--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", *self.options, *more],
                stdout=log, stderr=log, start_new_session=True)

        def up():
            return ask(self.port, "PING") == b"PONG"
        wait_for(up)

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def wipe(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def aof(self):
        folder = os.path.join(self.directory, "appendonlydir")
        return max((os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".incr.aof")), key=os.path.getmtime)


class Pair:
    """Primary and replica, each behind a proxy for its clients; the replica follows through a proxy of its own."""

    def __init__(self, ports, directory):
        self.servers = [Server(port, os.path.join(directory, f"redis-{port}")) for port in ports]
        self.primary, self.replica = self.servers
        self.primary.start()
        self.front = [Proxy(s.port) for s in self.servers]
        self.link = Proxy(self.primary.port)
        self.follow()

    def addresses(self):
        return ",".join(f"127.0.0.1:{p.port}" for p in self.front)

    def direct(self):
        return f"127.0.0.1:{self.primary.port}"

    def follow(self):
        self.replica.start("--replicaof", "127.0.0.1", str(self.link.port))

    def followed(self):
        def linked():
            return info(self.replica.port, "replication").get("master_link_status") == "up"
        wait_for(linked)

    def get(self, keys):
        client = Client(self.primary.port)
        try:
            return client.many([("GET", k) for k in keys])
        finally:
            client.socket.close()

    def failover(self, hold_s):
        """The primary is killed and its replica promoted; what was held back meanwhile is lost. Answers commits lost."""
        self.followed()
        self.link.hold()
        time.sleep(hold_s)
        until = time.monotonic() + HOLD_S_MAX
        while not commits_in(bytes(self.link.held)) and time.monotonic() < until:
            time.sleep(0.02)
        self.primary.kill()
        lost = commits_in(self.link.lose())
        self.primary, self.replica = self.replica, self.primary
        self.link.target = self.primary.port
        ask(self.primary.port, "REPLICAOF", "NO", "ONE")
        self.replica.wipe()
        self.follow()
        return lost

    def truncate(self, size):
        """The primary is killed, loses the end of its AOF, and comes back. Answers commits lost."""
        self.followed()
        path = self.primary.aof()
        self.primary.kill()
        whole = os.path.getsize(path)
        with open(path, "r+b") as file:
            file.seek(max(0, whole - size))
            lost = commits_in(file.read())
            file.truncate(max(0, whole - size))
        self.primary.start()
        return lost

    def cut(self, refuse):
        return sum(p.cut(refuse) for p in self.front)

    def restore(self):
        for p in self.front:
            p.refusing = False

    def close(self):
        for p in (*self.front, self.link):
            p.close()
        for s in self.servers:
            s.kill()


def slot_of(key):
    tag = key[key.index("{") + 1:key.index("}")].encode()
    crc = 0
    for byte in tag:
        crc ^= byte << 8
        for _ in range(8):
            crc = crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xffff
    return crc & 16383


class Cluster:
    """Three primaries, each with a replica."""

    def __init__(self, ports, directory):
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0")
        self.servers = {p: Server(p, os.path.join(directory, f"redis-{p}"), *options) for p in ports}
        for s in self.servers.values():
            s.start()
        subprocess.run(["redis-cli", "--cluster", "create", *(f"127.0.0.1:{p}" for p in ports), "--cluster-replicas", "1", "--cluster-yes"],
                       check=True, stdout=subprocess.DEVNULL)

        def whole():
            return all(b"cluster_state:ok" in ask(p, "CLUSTER", "INFO") for p in ports) and len(self.followers()) == 3
        wait_for(whole)

    def addresses(self):
        return ",".join(f"127.0.0.1:{p}" for p in self.servers)

    def direct(self):
        return self.addresses()

    def running(self):
        return [p for p, s in self.servers.items() if s.process]

    def nodes(self):
        for line in ask(self.running()[0], "CLUSTER", "NODES").decode().splitlines():
            words = line.split()
            yield words[0], int(words[1].split("@")[0].split(":")[1]), words[2].split(","), words[3], words[8:]

    def ranges(self):
        out = []
        for _, port, flags, _, slots in self.nodes():
            if "master" in flags and "fail" not in flags:
                for r in slots:
                    if r[0] != "[":
                        first, _, last = r.partition("-")
                        out.append((int(first), int(last or first), port))
        return out

    def followers(self):
        """Primary -> replica, for those whose replication runs."""
        nodes = list(self.nodes())
        ports = {node: port for node, port, *_ in nodes}
        return {ports[of]: port for _, port, flags, of, _ in nodes
                if "slave" in flags and "fail" not in flags and self.servers[port].process and info(port, "replication").get("master_link_status") == "up"}

    def get(self, keys):
        ranges, clients, out = self.ranges(), {}, []
        for key in keys:
            port = next(p for first, last, p in ranges if first <= slot_of(key) <= last)
            if port not in clients:
                clients[port] = Client(port)
            out.append(clients[port].ask("GET", key))
        for client in clients.values():
            client.socket.close()
        return out

    def failover(self, hold_s, keys=(), pick=0):
        """
        A primary whose replica stands still, cut from it, is killed, and the replica takes over. Answers how many of the positions
        that the primary had acknowledged are not those of its replica, and the bytes of replication that are lost.
        """
        def followed():
            return len(self.followers()) == 3
        wait_for(followed)
        followers = self.followers()
        port = sorted(followers)[pick % 3]
        replica, ranges = followers[port], self.ranges()
        mine = [k for k in keys if any(first <= slot_of(k) <= last and p == port for first, last, p in ranges)]
        client, gets = Client(port), [("GET", k) for k in mine]
        self.servers[replica].process.send_signal(signal.SIGSTOP)
        client.ask("CLIENT", "KILL", "TYPE", "replica")
        first, until = client.many(gets), time.monotonic() + HOLD_S_MAX
        time.sleep(hold_s)
        while client.many(gets) == first and time.monotonic() < until:
            time.sleep(0.02)
        before = client.many(gets)
        sent = int(info(port, "replication")["master_repl_offset"])
        self.servers[port].kill()
        self.servers[replica].process.send_signal(signal.SIGCONT)
        got = int(info(replica, "replication")["slave_repl_offset"])
        ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")

        def primary():
            return ask(replica, "ROLE")[0] == b"master"
        wait_for(primary)
        other = Client(replica)
        other.ask("READONLY")
        after = other.many(gets)
        other.socket.close()
        self.servers[port].start()
        return sum(a != b for a, b in zip(before, after)), max(0, sent - got)

    def close(self):
        for s in self.servers.values():
            s.kill()
