// The user part of a key in Redis: the first 16 bytes of HMAC-SHA-256(key file, user id), base64url without padding.
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

class UserKey {
    static String userKey(byte[] key, String user) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        byte[] digest = mac.doFinal(user.getBytes(StandardCharsets.UTF_8));
        return Base64.getUrlEncoder().withoutPadding().encodeToString(Arrays.copyOf(digest, 16));
    }

    public static void main(String[] args) throws Exception {
        System.out.println(userKey("sluice-demo-key!".getBytes(StandardCharsets.UTF_8), args[0]));
    }
}
