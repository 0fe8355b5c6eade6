# The user part of a key in Redis: the first 16 bytes of HMAC-SHA-256(key file, user id), base64url without padding.
import base64, hashlib, hmac, sys

def user_key(key: bytes, user: str) -> str:
    return base64.urlsafe_b64encode(hmac.new(key, user.encode(), hashlib.sha256).digest()[:16]).rstrip(b"=").decode()

# key = open("/etc/sluice/user.key", "rb").read().rstrip(b"\r\n")
print(user_key(b"sluice-demo-key!", sys.argv[1]))
