// The user part of a key in Redis: the first 16 bytes of HMAC-SHA-256(key file, user id), base64url without padding.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
)

func userKey(key []byte, user string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

func main() {
	fmt.Println(userKey([]byte("sluice-demo-key!"), os.Args[1]))
}
