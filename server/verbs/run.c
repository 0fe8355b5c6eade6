/* run: the daemon. */
#include "server/io/http.h"
#include "server/io/topics.h"
#include "server/verbs/connect.h"
#include "server/verbs/verb.h"

#include "common/check.h"
#include "common/log.h"
#include "common/text.h"

#include <stdio.h>

#define TOPICS_MS 5000

static ssize_t keep(void *text, const char *bytes, size_t size)
{
    put_bytes(text, bytes, size);
    return (ssize_t)size;
}

/* A report kept as text. open_memstream() would leave out what it finds no memory for, and say nothing. */
static FILE *open_report(struct writer *text)
{
    FILE *report = fopencookie(text, "w", (cookie_io_functions_t){.write = keep});
    ASSERT(report);
    setbuf(report, NULL);
    return report;
}

/* SIGHUP: what is refused is said line by line, and the running settings stay. */
static bool reload(void *arg, struct worker_settings *out)
{
    struct writer text = {0};
    FILE *report = open_report(&text);
    bool ok = settings_reload(arg, out, report);
    fclose(report);
    if (ok)
        log_info("reloaded", "the configuration was read again");
    else
        log_error("reload_refused", "%.400s; the running settings stay", text_cstr(&text));
    writer_fini(&text);
    return ok;
}

/* Rule 13: topics that lose what recovery needs are refused before anything is folded. Unreachable brokers are waited for. */
static bool topics_keep_what_is_needed(const struct settings *settings)
{
    struct writer text = {0};
    FILE *report = open_report(&text);
    char *rest;
    enum err err = topics_check(&settings->daemon.kafka, TOPICS_MS, report);
    fclose(report);
    text_cstr(&text);
    for (char *line = strtok_r((char *)text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        log_line(err == ERR_INVALID ? LOG_ERROR : LOG_WARNING, "topics", "%.400s", line);
    if (err == ERR_INVALID)
        log_error("topics_refused", "not started: the topics are not what they must be; `sluice topics check` tells when they are");
    else if (err != ERR_NONE)
        log_warning("topics_unknown", "started without a look at the topics, for the brokers did not answer within %d ms", TOPICS_MS);
    writer_fini(&text);
    return err != ERR_INVALID;
}

int verb_run(int argc, char **argv)
{
    struct settings settings, read; /* with the options; as the file says */
    const char *http = take_option(&argc, argv, "--http");
    if (http && *http && !http_address_is_valid(http)) {
        fprintf(stderr, "sluice run: --http is HOST:PORT, port 0 for any, or empty; not %s\n", http);
        return EXIT_USAGE;
    }
    if (!connect_options(&argc, argv, &settings))
        return EXIT_CONFIG;
    settings.daemon.http = http ? http : settings.daemon.http;
    settings_init(&read);
    settings.daemon.reload = reload;
    settings.daemon.reload_arg = &read;
    int code = EXIT_CONFIG;
    if (!is_all_taken(&argc, argv, 0))
        code = EXIT_USAGE;
    else if ((!settings.file || settings_load(&read, settings.file, stderr)) && topics_keep_what_is_needed(&settings))
        code = daemon_run(&settings.daemon);
    settings_fini(&settings);
    settings_fini(&read);
    return code;
}
