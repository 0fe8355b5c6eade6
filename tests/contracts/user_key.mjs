// The user part of a key in Redis: the first 16 bytes of HMAC-SHA-256(key file, user id), base64url without padding.
import { createHmac } from "node:crypto";

const userKey = (key, user) => createHmac("sha256", key).update(user).digest().subarray(0, 16).toString("base64url");

console.log(userKey("sluice-demo-key!", process.argv[2]));
