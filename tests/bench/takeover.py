"""How long the tasks of a worker that is killed stand still: section `takeover` of tests/bench/run.

A group of three under load; one worker at a time is killed with SIGKILL, and comes back when the others have its tasks. A
takeover lasts from the signal until the last task of the group has an owner again that has claimed its slot, verified its log
and folded the first record (log entry under_way), so it is that of the slowest task. Nothing is restored: state stays in Redis.
"""
import json
import random
import time

SESSION_MS, REST_MS = 1500, 1500


class Log:
    """What a worker says, by code, with its time in milliseconds."""

    def __init__(self, path):
        self.file = open(path)
        self.entries = []

    def since(self, ms, code):
        for line in self.file:
            if line.startswith("{"):
                self.entries.append(json.loads(line))
        return [e for e in self.entries if e["ts"] >= ms and e["code"] == code]


def took(logs, killed_ms):
    """When the last survivor heard of it, got its tasks, and folds again; None while that is to come."""
    heard, got, fold = [], [], []
    for log in logs:
        gets = log.since(killed_ms, "assigned")
        folds = log.since(gets[-1]["ts"], "under_way") if gets else []
        if not folds:
            return None
        heard.append(log.since(killed_ms, "revoked")[0]["ts"])
        got.append(gets[-1]["ts"])
        fold.append(folds[-1]["ts"])
    return [max(each) - killed_ms for each in (heard, got, fold)]


def rests(logs):
    """Everybody has tasks and folds, and nobody has heard of another assignment for a while."""
    for log in logs:
        assigned, fold = log.since(0, "assigned"), log.since(0, "under_way")
        if not fold or fold[-1]["ts"] < assigned[-1]["ts"] or time.time() * 1000 - assigned[-1]["ts"] < REST_MS:
            return False
    return True


def share(times, part):
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def takeovers(start_worker, log_of, kills, until):
    """start_worker(number) -> process; log_of(number) -> path. Answers [heard, assigned, folding] of every kill."""
    random.seed(7)
    workers = [start_worker(n) for n in range(3)]
    logs, done = [Log(log_of(n)) for n in range(3)], []
    for kill in range(kills):
        until(60, "a group at rest", lambda: rests(logs), 0.1)
        time.sleep(random.uniform(0, 0.3))  # anywhere between two heartbeats
        victim = random.randrange(3)
        others = [log for i, log in enumerate(logs) if i != victim]
        killed_ms = int(time.time() * 1000)
        workers[victim].process.kill()
        done.append(until(30, "a takeover", lambda: took(others, killed_ms), 0.05))
        workers[victim] = start_worker(3 + kill)
        logs[victim] = Log(log_of(3 + kill))
    return done, workers
