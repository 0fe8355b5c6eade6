/* run: the daemon. */
#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

int verb_run(int argc, char **argv)
{
    struct daemon_settings settings;
    if (!connect_options(&argc, argv, &settings))
        return EXIT_USAGE;
    const char *http = take_option(&argc, argv, "--http");
    settings.http = http ? http : "127.0.0.1:8099";
    if (!is_all_taken(argc, argv, 0))
        return EXIT_USAGE;
    return daemon_run(&settings);
}
