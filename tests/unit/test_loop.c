/* The simulator's Kafka side against librdkafka's mock cluster on a loopback port. */
#include "tests/unit/check.h"

#include "server/simulate/drive.h"
#include "server/simulate/kafka_io.h"
#include "server/simulate/screen.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

static const char event[] = "{\"v\":1,\"id\":\"e\",\"ts\":1,\"type\":\"chat\",\"user\":\"u_7\",\"room\":\"r_1\",\"scene\":\"home\"}";

struct seen {
    int64_t offset;
    int32_t partition;
    int delivered;
    struct screen *screen;
};

static void on_received(void *self, const struct link_record *record)
{
    struct seen *s = self;
    screen_record(s->screen, record, record->timestamp_ms + 3);
}

static void on_delivered(void *self, int32_t partition, int64_t offset, int64_t sent_us)
{
    struct seen *s = self;
    s->partition = partition;
    s->offset = offset;
    s->delivered++;
}

static void wait_for(struct link *l, const int *count, int wanted)
{
    for (int i = 0; i < 6000 && *count < wanted; i++)
        link_poll(l, 10);
}

/* Until the page has the text, as long as that takes. */
static void wait_to_see(struct link *l, struct screen *screen, const char *text)
{
    struct writer page = {0};
    for (int i = 0; i < 6000; i++) {
        page.size = 0;
        screen_json(screen, 101000, &page);
        screen_render(screen, 101000, &page);
        if (strstr(text_cstr(&page), text))
            break;
        link_poll(l, 10);
    }
    writer_fini(&page);
}

static void test_screen_sees_the_recommendation_of_an_event(const char *brokers)
{
    struct seen seen = {.offset = -1};
    struct link_settings settings = {brokers, screen_topics, &seen, on_received, on_delivered};
    struct screen_places places = {brokers, "127.0.0.1:6379", NULL, 4};
    char value[512];
    struct writer out = {0};
    seen.screen = screen_create(&places, 0);
    struct link *l = link_open(&settings);
    CHECK(l);
    CHECK_INT(link_partitions(l, "live.events"), 4);
    CHECK(link_send(l, "live.events", slice_of("u_7"), slice_of(event), 1000, 1) == ERR_NONE);
    wait_for(l, &seen.delivered, 1);
    CHECK(seen.offset >= 0);
    snprintf(value, sizeof value,
             "{\"v\":1,\"rec\":\"x-1\",\"user\":\"u_7\",\"scene\":\"home\",\"ts\":1,\"valid_until\":9,\"version\":[%lld,0,0],"
             "\"rooms\":[{\"id\":\"r_9\",\"score\":0.5,\"reasons\":[{\"code\":\"trending\",\"part\":1}]}],\"items\":[]}",
             (long long)seen.offset);
    wait_to_see(l, seen.screen, "\"events\":1,"); /* the event itself may still be on its way to us */
    CHECK(link_send(l, "live.recommendations", slice_of("u_7"), slice_of(value), 100000, 1) == ERR_NONE);
    CHECK(link_send(l, "live.traffic", slice_of("home|r_9"),
                    slice_of("{\"weight\":0.25,\"ts\":1,\"valid_until\":60001}"), 100000, 1) == ERR_NONE);
    wait_for(l, &seen.delivered, 3);
    wait_to_see(l, seen.screen, "\"recommendations\":1,");
    wait_to_see(l, seen.screen, "25.00 %");
    screen_metrics(seen.screen, ""); /* not read: nothing is known */
    screen_json(seen.screen, 101000, &out);
    CHECK(strstr(text_cstr(&out), "\"lag_records\":null") && strstr(text_cstr(&out), "\"tasks_halted\":null") && strstr(text_cstr(&out), "\"dead_letters\":null"));
    out.size = 0;
    screen_metrics(seen.screen, "# HELP sluice_lag_records x\n# TYPE sluice_lag_records gauge\n"
                                "sluice_lag_records{stage=\"profile\",partition=\"0\"} 3\nsluice_lag_records{stage=\"entity\",partition=\"0\"} 4\n"
                                "# TYPE sluice_tasks_halted gauge\n" /* none is */
                                "# TYPE sluice_dead_letters_total counter\nsluice_dead_letters_total{reason=\"a b\"} 1\nsluice_dead_letters_total_else 5\n");
    screen_json(seen.screen, 101000, &out);
    screen_render(seen.screen, 101000, &out);
    screen_commands(seen.screen, &out);
    const char *text = text_cstr(&out);
    CHECK(strstr(text, "\"events\":1,"));
    CHECK(strstr(text, "\"recommendations\":1,"));
    CHECK(strstr(text, "\"latency_count\":1,"));
    CHECK(strstr(text, "\"lag_records\":7,") && strstr(text, "\"tasks_halted\":0") && strstr(text, "\"dead_letters\":1"));
    CHECK(strstr(text, "trending"));
    CHECK(strstr(text, "r_9"));
    CHECK(strstr(text, "25.00 %"));
    CHECK(strstr(text, "kcat -b"));
    writer_fini(&out);
    link_close(l, 1000);
    screen_destroy(seen.screen);
}

static void test_drive_reaches_kafka_faster_than_real_time(const char *brokers)
{
    struct drive_settings s = {.world = world_defaults(), .brokers = brokers, .seconds = 20, .speed = 20};
    s.world.start_ms = 0;
    s.world.items = 100;
    CHECK_INT(drive_world(&s), 0);
    s.reference = 1000;
    s.topic = "ev";
    CHECK_INT(drive_reference(&s), 0);
}

int main(void)
{
    static const char *const topics[] = {"live.events", "live.catalog", "live.recommendations", "live.traffic",
                                         "live.segments", "live.hosts", "live.alerts", "ev", NULL};
    char reason[256];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), reason, sizeof reason);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(rk, 1);
    for (int i = 0; topics[i]; i++)
        rd_kafka_mock_topic_create(cluster, topics[i], 4, 1);
    const char *brokers = rd_kafka_mock_cluster_bootstraps(cluster);
    test_screen_sees_the_recommendation_of_an_event(brokers);
    test_drive_reaches_kafka_faster_than_real_time(brokers);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(rk);
    return checks_failed != 0;
}
