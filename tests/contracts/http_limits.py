"""http_limits.py PORT: what the HTTP server answers and what it refuses: methods, sizes, slow and idle clients, too many of them."""
import socket
import sys
import time

PORT = int(sys.argv[1])
bad = []


def ask(request, wait_s=10):
    """The answer's first line, or '' when the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=wait_s) as s:
        try:
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
closes_within("an idle connection", 8)
closes_within("a slow one", 20, b"G")
many = []
for _ in range(300):
    try:
        many.append(socket.create_connection(("127.0.0.1", PORT), timeout=2))
    except OSError:
        break
time.sleep(2.5)  # the sweep counts every second
alive = 0
for s in many:
    s.settimeout(0.05)
    try:
        alive += s.recv(1) != b""
    except socket.timeout:
        alive += 1
    except OSError:
        pass
if alive > 64:
    bad.append(f"{alive} of {len(many)} connections are open")
for s in many:
    s.close()
time.sleep(1.5)
expect("after the siege", GET % b"/livez", "200")
print("\n".join(bad))
sys.exit(1 if bad else 0)
