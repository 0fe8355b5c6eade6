/* init: the first start. */
#include "server/io/slots.h"

#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include <stdio.h>

#define WAIT_MS 30000

int verb_init(int argc, char **argv)
{
    struct settings settings;
    int written, existing;
    if (!connect_options(&argc, argv, &settings))
        return EXIT_CONFIG;
    const char *start = take_option(&argc, argv, "--start");
    bool from_end = start && strcmp(start, "end") == 0;
    if (!start || (!from_end && strcmp(start, "earliest") != 0)) {
        fputs("sluice init: say --start earliest or --start end\n", stderr);
        return EXIT_USAGE;
    }
    if (!is_all_taken(&argc, argv, 0))
        return EXIT_USAGE;
    enum err err = slots_init(&settings.daemon, from_end, WAIT_MS, &written, &existing);
    printf("%d slots written, %d were there\n", written, existing);
    settings_fini(&settings);
    return err == ERR_NONE ? 0 : 1;
}
