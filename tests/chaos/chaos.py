#!/usr/bin/python3
"""Real processes under faults: rounds of load in which workers, Redis and Kafka fail, each followed by a proof.

  chaos.py --sluice PATH --kafka-dir DIR --redis pair|cluster --work DIR --kills N --seed S [--faults takeover]

A round: a burst of `sluice simulate`; meanwhile a worker dies (its tasks' takeover is timed), others die and come
back, Redis fails over or loses the end of its AOF, and now and then a worker stands still beyond its session (a zombie), comes
or goes for good, connections to Redis are cut, or a broker is killed. Workers reach the brokers through proxies (deploy/kafka
--proxied, tests/lib/proxy.py) that cut them, slow them down, or let one broker fall silent while its connections stand. Then all logs are folded to their ends, the workers are stopped
where they are, `sluice digest --verify` folds every log again, and the oracle (tests/oracle) compares the counters.
Prints one line a round and a last line of JSON with the sums; exit code 1 when anything diverged, halted or did not catch up.
"""
import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "oracle")]
import kafka  # noqa: E402
import oracle  # noqa: E402
import redis_servers  # noqa: E402
from proxy import Proxy  # noqa: E402

SESSION_MS = 1500
RATE = 1500
CAUGHT_UP_S, SLOW_S = 90, 12
TAKEN_OVER_S = 30  # far beyond what it takes, so that a broker that answers nobody for a while is measured and not called a fault of ours
STAGES = {"profile": "live.events", "entity": "sluice.effects", "allocation": "sluice.rollups"}


def position_of(blob):
    """(token, next) of a position blob."""
    if not isinstance(blob, bytes) or len(blob) < 10:
        return None, -1
    at, shift, value = 1, 0, 0
    while True:
        value |= (blob[at] & 0x7f) << shift
        shift, at = shift + 7, at + 1
        if blob[at - 1] < 0x80:
            return blob[at:at + 8], value


class Worker:
    def __init__(self, chaos, number):
        self.chaos, self.number, self.process = chaos, number, None
        self.port = free_port()
        self.log = os.path.join(chaos.directory, f"worker-{number}.log")
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.chaos.sluice, "run", "--config", self.chaos.config, "--brokers", self.chaos.proxied, "--redis",
                                             self.chaos.redis.addresses(), "--http", f"127.0.0.1:{self.port}"], stdout=log, stderr=log)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def metrics(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=2) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def standing(self):
        """What may hold it up, in one line."""
        names = "sluice_tasks{|sluice_kafka_produce_queue|sluice_redis_slots|sluice_kafka_up|sluice_redis_in_flight|sluice_commits_total|sluice_rewinds_total"
        return ", ".join(line for line in self.metrics().splitlines() if re.match(names, line))

    def tasks(self):
        """Those it runs."""
        text = self.metrics()
        return [(s, int(p)) for s, p in re.findall(r'^sluice_lag_records\{stage="(\w+)",partition="(\d+)"\}', text, re.M) if s in STAGES]


def free_port():
    while True:
        port = random.randrange(11000, 22000)
        try:
            with kafka.socket.socket() as one, kafka.socket.socket() as bus:
                one.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10000))
                return port
        except OSError:
            pass


class Chaos:
    def __init__(self, options):
        self.options, self.random = options, random.Random(options.seed)
        self.sluice, self.kafka_dir = os.path.abspath(options.sluice), options.kafka_dir
        with open(os.path.join(self.kafka_dir, "bootstrap")) as file:
            self.brokers = file.read().strip()
        with open(os.path.join(self.kafka_dir, "proxied")) as file:
            self.to_brokers = [Proxy(int(target), int(port)) for port, target in (pair.split(":") for pair in file.read().split(","))]
        self.proxied = ",".join(f"127.0.0.1:{p.port}" for p in self.to_brokers)
        self.directory = os.path.join(options.work, f"chaos-{options.redis}")
        os.makedirs(self.directory)
        self.config = os.path.join(self.directory, "run.json")
        with open(self.config, "w") as file:
            json.dump({"kafka": {"session_timeout_ms": SESSION_MS, "heartbeat_ms": self.options.heartbeat_ms, "metadata_refresh_ms": 2000},
                       "redis": {"request_timeout_ms": 1000, "connect_timeout_ms": 500, "backoff_max_ms": 300},
                       "worker": {"entity_commit_ms": 700, "audit_ms": 1000, "reclaim_ms": 500}}, file)
        ports = [free_port() for _ in range(2 if options.redis == "pair" else 6)]
        self.redis = (redis_servers.Pair if options.redis == "pair" else redis_servers.Cluster)(ports, self.directory)
        self.client = kafka.Kafka(self.brokers, 60)
        self.tasks = [(s, p) for s, topic in STAGES.items() for p in self.client.partitions(topic)]
        self.keys = [f"sluice:{{{s}.{p}}}:position" for s, p in self.tasks]
        self.check = oracle.Check(self.brokers, sluice=self.sluice)
        self.sums = dict.fromkeys(["rounds", "kills", "zombies", "failovers", "failovers_losing", "lost_commits", "aof_truncated", "aof_lost_commits",
                                   "brokers_killed", "connections_cut", "kafka_cut", "kafka_slowed", "kafka_silenced", "workers_added", "workers_removed", "divergences", "compared"], 0)
        self.takeovers, self.failures = [], []
        self.workers = [Worker(self, n) for n in range(3)]
        self.numbers = 3

    # what may go wrong -----------------------------------------------------------------------------------------

    def timed_kill(self):
        """One worker dies and does not come back until others have its tasks: how long that took, by task."""
        worker = self.random.choice(self.workers)
        tasks = worker.tasks()
        keys = [f"sluice:{{{s}.{p}}}:position" for s, p in tasks]
        before = [position_of(b)[0] for b in self.redis.get(keys)]
        start = time.monotonic()
        worker.kill()
        self.sums["kills"] += 1
        waiting = dict(zip(keys, before))
        while waiting and time.monotonic() - start < TAKEN_OVER_S:
            names = list(waiting)
            for key, blob in zip(names, self.redis.get(names)):
                if position_of(blob)[0] != waiting[key]:
                    self.takeovers.append((time.monotonic() - start) * 1000)
                    del waiting[key]
            time.sleep(0.005)
        if waiting:
            self.failures.append(f"{len(waiting)} tasks of a dead worker had no owner for {TAKEN_OVER_S} s")
        worker.start()

    def kill_and_restart(self):
        worker = self.random.choice(self.workers)
        worker.kill()
        self.sums["kills"] += 1
        worker.start()

    def zombie(self):
        worker = self.random.choice(self.workers)
        worker.signal(signal.SIGSTOP)
        time.sleep(SESSION_MS / 1000 + self.random.uniform(0.3, 1.2))
        worker.signal(signal.SIGCONT)
        self.sums["zombies"] += 1

    def failover(self):
        self.sums["failovers"] += 1
        hold_s = self.random.uniform(0.3, 0.8)
        if self.options.redis == "pair":
            lost = self.redis.failover(hold_s)
        else:
            lost, _ = self.redis.failover(hold_s, self.keys, self.random.randrange(3))
        self.sums["failovers_losing"] += lost > 0
        self.sums["lost_commits"] += lost

    def truncate(self):
        self.sums["aof_truncated"] += 1
        self.sums["aof_lost_commits"] += self.redis.truncate(self.random.randrange(1, 30000))

    def cut(self):
        self.sums["connections_cut"] += self.redis.cut(refuse=True)
        time.sleep(self.random.uniform(0, 0.4))
        self.redis.restore()

    def cut_kafka(self):
        """Of one broker or all, refusing new ones for a while."""
        some = self.random.choice((self.to_brokers, [self.random.choice(self.to_brokers)]))
        self.sums["kafka_cut"] += sum(p.cut(refuse=True) for p in some)
        time.sleep(self.random.uniform(0, 0.6))
        for p in some:
            p.refusing = False

    def slow_kafka(self):
        for p in self.to_brokers:
            p.lag_s = self.random.uniform(0.01, 0.1)
        time.sleep(self.random.uniform(0.5, 1.5))
        for p in self.to_brokers:
            p.lag_s = 0
        self.sums["kafka_slowed"] += 1

    def silence_kafka(self):
        """Half-open connections: a broker, or all, below and beyond the session; then what waited arrives, or is lost with them."""
        some = self.random.choice((self.to_brokers, [self.random.choice(self.to_brokers)]))
        for p in some:
            p.deaf = True
        time.sleep(self.random.uniform(0.3, 1.5 * SESSION_MS / 1000))
        if self.random.random() < 0.5:
            for p in some:
                p.cut()
        for p in some:
            p.deaf = False
        self.sums["kafka_silenced"] += 1

    def scale(self):
        if len(self.workers) > 3:
            worker = self.workers.pop(self.random.randrange(len(self.workers)))
            worker.signal(signal.SIGTERM)
            worker.process.wait(60)
            self.sums["workers_removed"] += 1
        else:
            self.workers.append(Worker(self, self.numbers))
            self.numbers += 1
            self.sums["workers_added"] += 1

    def kill_broker(self):
        self.client.wait_replicated()  # two of three must stay
        node = self.random.randint(1, 3)
        self.sums["brokers_killed"] += 1
        subprocess.run([os.path.join(HERE, "..", "..", "deploy", "kafka"), "restart", "--node", str(node), "--dir", self.kafka_dir], check=True)

    # a round ---------------------------------------------------------------------------------------------------

    def faults(self, number):
        pair = self.options.redis == "pair"
        more = [self.kill_and_restart] * self.random.choice((2, 3)) + [self.failover] * self.random.choice((1, 2))
        more += [self.truncate] * (pair and number % 4 == 3)
        more += [(self.zombie, self.scale, self.cut if pair else self.zombie)[number % 3]]
        more += [(self.silence_kafka, self.cut_kafka, self.slow_kafka)[number % 3]]
        if number % 6 == 2:
            more.append(self.kill_broker)
        self.random.shuffle(more)
        return [self.timed_kill, *more] if self.options.faults == "all" else [self.timed_kill] * 4

    def settled(self):
        """Every task has had the same owner for a while; what follows meets work, not a rebalance."""
        until, before, since = time.monotonic() + CAUGHT_UP_S, None, 0
        while time.monotonic() < until:
            owners = [w.tasks() for w in self.workers]
            owned = [task for tasks in owners for task in tasks]
            if owners != before or not len(owned) == len(set(owned)) == len(self.tasks):
                before, since = owners, time.monotonic()
            elif time.monotonic() - since > SESSION_MS / 1000:
                return
            time.sleep(0.1)
        self.failures.append(f"{len(self.tasks) - len(set(owned))} tasks have no owner")

    def round(self, number):
        self.settled()
        load = subprocess.Popen([self.sluice, "simulate", "--brokers", self.brokers, "--seconds", "0", "--rate", str(RATE), "--users", "600",
                                 "--rooms", "12", "--hosts", "30", "--items", "150", "--seed", str(self.options.seed * 1000 + number)],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.random.uniform(1, 1.5))
        done = []
        for fault in self.faults(number):
            done.append(fault.__name__)
            fault()
            time.sleep(self.random.uniform(0, 0.3))
        load.send_signal(signal.SIGINT)
        load.wait()
        caught_s = self.catch_up()
        for w in self.workers:
            w.signal(signal.SIGSTOP)
        time.sleep(0.1)
        differences = self.prove()
        for w in self.workers:
            w.signal(signal.SIGCONT)
        self.sums["rounds"] += 1
        self.sums["divergences"] += len(differences)
        self.failures += [f"round {number}: {d}" for d in differences]
        print(f"round {number}: {', '.join(done)}; caught up in {caught_s:.1f} s, {len(differences)} divergences", flush=True)

    def catch_up(self):
        """Until everything in the logs is folded and committed; allocation ticks for ever."""
        start, told = time.monotonic(), False
        while time.monotonic() - start < CAUGHT_UP_S:
            try:
                have = {task: position_of(b)[1] for task, b in zip(self.tasks, self.redis.get(self.keys))}
                ends = self.client.all_ends(["live.events", "sluice.effects"])
                behind = [f"{s}.{p} at {have[s, p]} of {ends[STAGES[s], p]}" for s, p in self.tasks
                          if s != "allocation" and have[s, p] != ends[STAGES[s], p]]
                if not behind:
                    return time.monotonic() - start
                if not told and time.monotonic() - start > SLOW_S:
                    told = True
                    print(f"slow: {len(behind)} tasks behind: {', '.join(behind[:6])}", *(f"worker {w.number}: {w.standing()}" for w in self.workers),
                          sep="\n  ", flush=True)
            except (OSError, redis_servers.RedisError, StopIteration) as error:
                behind = [str(error)]
            time.sleep(0.2)
        self.failures.append(f"not caught up in {CAUGHT_UP_S} s: {', '.join(behind[:5])}")
        return CAUGHT_UP_S

    def prove(self):
        verify = subprocess.run([self.sluice, "digest", "--verify", "--brokers", self.brokers, "--redis", self.redis.direct()], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        lines = [line for line in verify.stdout.splitlines() if re.match(r"\w+\.\d+ ", line)]
        out = [line for line in lines if not line.endswith(" same")]
        if len(lines) != len(self.tasks):
            out.append(f"digest tells {len(lines)} of {len(self.tasks)} tasks: {verify.stdout[-300:]}")
        done = self.check.compare(self.redis.direct())
        self.sums["compared"] += done.compared
        return out + done.differences

    def blind(self):
        """The proof of the proof: with ten events left out, not all of which can be duplicates, the oracle must differ."""
        spare = oracle.Check(self.brokers, sluice=self.sluice)
        seen = spare.oracle.record
        left = [1000]

        def record(*words):
            left[0] -= 1
            if not -10 < left[0] <= 0:
                seen(*words)
        spare.oracle.record = record
        return bool(spare.compare(self.redis.direct()).differences)

    def logged(self, code):
        lines = []
        for number in range(self.numbers):
            with open(os.path.join(self.directory, f"worker-{number}.log"), errors="replace") as file:
                lines += [f"worker {number}: {line.strip()}" for line in file if f'"code":"{code}"' in line]
        return lines

    def run(self):
        subprocess.run([self.sluice, "init", "--start", "earliest", "--brokers", self.brokers, "--redis", self.redis.direct()], check=True,
                       stdout=subprocess.DEVNULL)
        number = 0
        while self.sums["kills"] < self.options.kills:
            self.round(number)
            number += 1
        if not self.blind():
            self.failures.append("the oracle does not see that an event is missing")
        for w in self.workers:
            w.signal(signal.SIGTERM)
        halted = self.logged("task_halted")
        self.failures += halted
        self.sums.update(rebalances=len(self.logged("assigned")), halts=len(halted))
        taken = sorted(self.takeovers)
        self.sums.update(events=self.check.oracle.folded, takeovers=len(taken), failures=len(self.failures), session_ms=SESSION_MS,
                         takeover_p50_ms=round(taken[len(taken) // 2]) if taken else 0,
                         takeover_p99_ms=round(taken[min(len(taken) - 1, len(taken) * 99 // 100)]) if taken else 0)
        for failure in self.failures[:40]:
            print(failure)
        print(json.dumps(self.sums))

    def close(self):
        for w in self.workers:
            if w.process.poll() is None:
                w.signal(signal.SIGCONT)
                w.kill()
        self.redis.close()
        for p in self.to_brokers:
            p.close()


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):  # what was started is stopped however this ends
        signal.signal(number, lambda *_: sys.exit(130))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--kafka-dir", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--redis", choices=("pair", "cluster"), required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--heartbeat-ms", type=int, default=100)
    parser.add_argument("--faults", choices=("all", "takeover"), default="all", help="takeover: only workers that die, one after the other")
    chaos = Chaos(parser.parse_args())
    try:
        chaos.run()
    finally:
        chaos.close()
    sys.exit(1 if chaos.failures else 0)


if __name__ == "__main__":
    main()
