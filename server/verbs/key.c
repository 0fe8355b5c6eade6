/* key: the user part of public Redis keys. */
#include "common/hmac.h"

#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include <stdio.h>

int verb_key(int argc, char **argv)
{
    struct settings settings;
    uint8_t key[USER_KEY_BYTES];
    char text[USER_KEY_TEXT + 1];
    if (!connect_options(&argc, argv, &settings))
        return EXIT_CONFIG;
    if (!is_all_taken(&argc, argv, 1))
        return EXIT_USAGE;
    if (argc != 2 || !*argv[1]) {
        fputs("sluice key: which user?\n", stderr);
        return EXIT_USAGE;
    }
    struct user_hmac *h = user_hmac_create((struct slice){(const char *)settings.daemon.worker.user_key, settings.daemon.worker.user_key_size});
    if (!h)
        return 1;
    user_hmac_of(h, slice_of(argv[1]), key);
    user_key_text(key, text);
    puts(text);
    user_hmac_destroy(h);
    settings_fini(&settings);
    return 0;
}
