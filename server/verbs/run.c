/* run: the daemon. */
#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include "common/log.h"

#include <stdlib.h>

/* SIGHUP: what is refused is said line by line, and the running settings stay. */
static bool reload(void *arg, struct worker_settings *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *report = open_memstream(&text, &size);
    bool ok = settings_reload(arg, out, report);
    fclose(report);
    if (ok)
        log_info("reloaded", "the configuration was read again");
    else
        log_error("reload_refused", "%.400s; the running settings stay", text);
    free(text);
    return ok;
}

int verb_run(int argc, char **argv)
{
    struct settings settings;
    if (!connect_options(&argc, argv, &settings))
        return EXIT_CONFIG;
    const char *http = take_option(&argc, argv, "--http");
    settings.daemon.http = http ? http : settings.daemon.http;
    settings.daemon.reload = reload;
    settings.daemon.reload_arg = &settings;
    int code = is_all_taken(argc, argv, 0) ? daemon_run(&settings.daemon) : EXIT_USAGE;
    settings_fini(&settings);
    return code;
}
