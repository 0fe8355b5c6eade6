"""A TCP proxy on loopback that a test can cut, refuse with, or hold back one direction of."""
import selectors
import socket
import struct
import threading


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
        self.holding = self.refusing = self.stopping = False
        self.held = bytearray()         # what the servers sent meanwhile
        self.waiting = []               # (client, bytes) of it, to be sent when it is let go
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.server, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping:
            for key, _ in self.selector.select(0.05):
                with self.lock:
                    if key.fileobj is self.server:
                        self.accept()
                    elif key.fileobj in self.pairs:
                        self.forward(key.fileobj)

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
            self.pairs[one] = (other, behind)
            self.selector.register(one, selectors.EVENT_READ)

    def forward(self, one):
        other, behind = self.pairs[one]
        try:
            data = one.recv(1 << 16)
            if behind and self.holding:
                self.held += data
                self.waiting.append((other, data))
                return
            if data:
                other.sendall(data)
                return
        except OSError:
            pass
        self.drop(one)

    def drop(self, one):
        other, _ = self.pairs[one]
        for end in (one, other):
            if self.pairs.pop(end, None):
                self.selector.unregister(end)
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
            self.holding, self.held, self.waiting = True, bytearray(), []

    def lose(self):
        """What was held is lost for good; answers it."""
        with self.lock:
            held, self.holding, self.held, self.waiting = bytes(self.held), False, bytearray(), []
        self.cut()
        return held

    def close(self):
        self.cut()
        self.stopping = True
        self.thread.join()
        self.server.close()
