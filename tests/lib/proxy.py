"""A TCP proxy on loopback that a test can cut, refuse with, slow down, or turn into a black hole, in one direction or both."""
import selectors
import socket
import struct
import threading
import time

WAITING_MAX = 1 << 20  # bytes for an end that does not read: then its other end is not read either


class Proxy:
    def __init__(self, target, port=0):
        self.target = target            # port on loopback; may change, for connections to come
        self.lock = threading.Lock()
        self.server = socket.socket()
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.bind(("127.0.0.1", port))
        self.server.listen(256)
        self.port = self.server.getsockname()[1]
        self.pairs = {}                 # socket -> (the other, True when it is the side of the server behind us)
        self.unsent = {}                # socket -> bytes that it has not taken yet
        self.holding = self.refusing = self.stopping = False
        self.deaf = False               # nothing goes either way, connections stand: a black hole
        self.lag_s = 0                  # what comes waits so long
        self.held = bytearray()         # what the servers sent meanwhile
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.server, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping:
            if self.deaf:
                time.sleep(0.01)
                continue
            ready = self.selector.select(0.05)
            if self.lag_s:
                time.sleep(self.lag_s)
            with self.lock:
                for key, what in ready:
                    if key.fileobj is self.server:
                        self.accept()
                    elif key.fileobj in self.pairs and not self.deaf:
                        self.serve(key.fileobj, what)

    def accept(self):
        client, _ = self.server.accept()
        if self.refusing:
            self.reset(client)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), 2)
        except OSError:
            self.reset(client)
            return
        for one, other, behind in ((client, server, False), (server, client, True)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setblocking(False)
            self.pairs[one] = (other, behind)
            self.unsent[one] = bytearray()
            self.selector.register(one, selectors.EVENT_READ)

    def serve(self, one, what):
        other, behind = self.pairs[one]
        try:
            if what & selectors.EVENT_WRITE:
                self.send(one)
            if what & selectors.EVENT_READ:
                data = one.recv(1 << 18)
                if not data:
                    self.drop(one)
                    return
                if behind and self.holding:
                    self.held += data
                else:
                    self.unsent[other] += data
                    self.send(other)
            self.listen(one, other)
            self.listen(other, one)
        except BlockingIOError:
            pass
        except OSError:
            self.drop(one)

    def send(self, end):
        waiting = self.unsent[end]
        try:
            del waiting[:end.send(waiting)]
        except BlockingIOError:
            pass

    def listen(self, one, other):
        what = selectors.EVENT_READ * (len(self.unsent[other]) < WAITING_MAX) | selectors.EVENT_WRITE * bool(self.unsent[one])
        self.selector.modify(one, what or selectors.EVENT_WRITE)

    def drop(self, one):
        other, _ = self.pairs[one]
        for end in (one, other):
            if self.pairs.pop(end, None):
                self.selector.unregister(end)
                del self.unsent[end]
                self.reset(end)

    @staticmethod
    def reset(end):
        try:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        end.close()

    def cut(self, refuse=False):
        """Resets every connection; answers how many there were."""
        with self.lock:
            count = len(self.pairs) // 2
            while self.pairs:
                self.drop(next(iter(self.pairs)))
            self.refusing = refuse
            return count

    def hold(self):
        """From now on what the servers send is kept from the clients."""
        with self.lock:
            self.holding, self.held = True, bytearray()

    def lose(self):
        """What was held is lost for good; answers it."""
        with self.lock:
            held, self.holding, self.held = bytes(self.held), False, bytearray()
        self.cut()
        return held

    def close(self):
        self.cut()
        self.stopping = True
        self.thread.join()
        self.server.close()
