"""http_limits.py PORT: what the HTTP server answers and what it refuses: methods, sizes, slow and idle clients, too many of them."""
import socket
import sys
import time

PORT = int(sys.argv[1])
bad = []


def ask(request, wait_s=60):
    """The answer's first line, or '' when the connection was closed without one."""
    try:
        with socket.create_connection(("127.0.0.1", PORT), timeout=wait_s) as s:
            s.sendall(request)
            return s.makefile("rb").readline().decode("latin-1").strip()
    except (ConnectionError, socket.timeout):
        return ""


def expect(what, request, *wanted):
    line = ask(request)
    if not any(line.startswith(f"HTTP/1.{minor} {w}") if w else line == "" for w in wanted for minor in "01"):
        bad.append(f"{what}: {line!r}, expected {wanted}")


def closes_within(what, seconds, drip=None):
    """A connection that says nothing, or a byte every half second, is closed."""
    start = time.time()
    with socket.create_connection(("127.0.0.1", PORT)) as s:
        s.settimeout(0.5)
        while time.time() - start < seconds:
            try:
                if drip:
                    s.sendall(drip)
                if s.recv(100) == b"":
                    return
            except socket.timeout:
                continue
            except ConnectionError:
                return
    bad.append(f"{what}: still open after {seconds} s")


GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
expect("livez", GET % b"/livez", "200")
expect("readyz", GET % b"/readyz", "200")
expect("metrics", GET % b"/metrics", "200")
expect("metrics, HEAD", b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200")
expect("another path", GET % b"/x", "404")
for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"):
    expect(method.decode(), method + b" /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405", "501", "400", "")
expect("large headers", b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20000 + b"\r\n\r\n", "400", "413", "")
expect("many headers", b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n", "400", "413", "")
expect("a large body", b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000, "400", "413", "")
expect("no HTTP", b"\0\xff" * 100 + b"\r\n\r\n", "400", "501", "")
closes_within("an idle connection", 60)
closes_within("a slow one", 60, b"G")


def is_open(s):
    s.settimeout(0.02)
    try:
        return s.recv(1) != b""
    except socket.timeout:
        return True
    except OSError:
        return False


def besieged():
    """The fewest of 300 connections that are open at once before all are closed for their age."""
    many, fewest = [], 300
    for _ in range(300):
        try:
            many.append(socket.create_connection(("127.0.0.1", PORT), timeout=60))
        except OSError:
            break
    end = time.time() + 60
    while time.time() < end and fewest > 64:
        alive = [s for s in many if is_open(s)]
        if not alive:
            break
        fewest = min(fewest, len(alive))
    for s in many:
        s.close()
    return fewest


# On a machine that stands still they may grow old before anybody looks, which says nothing.
for _ in range(5):
    fewest = besieged()
    if fewest <= 64:
        break
else:
    bad.append(f"{fewest} connections are open at once")
end = time.time() + 60
while time.time() < end and "200" not in ask(GET % b"/livez"):
    time.sleep(0.2)
expect("after the siege", GET % b"/livez", "200")
print("\n".join(bad))
sys.exit(1 if bad else 0)
