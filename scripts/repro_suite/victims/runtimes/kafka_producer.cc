// librdkafka: a producer that is alive across the fork.
//
//   produce   the child produces ten messages and waits for their delivery reports
//   flush     the child produces and calls rd_kafka_flush()
//   destroy   the child destroys the producer, which joins its threads
//   pending   messages of the parent are on their way at the fork, the child produces and flushes:
//             bad is a message that arrived twice
//   flushed   the same, and the parent calls rd_kafka_flush() before the fork
//
// --busy: messages of the parent are on their way at the fork.
#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <map>

#include "fork_loop.h"

namespace {

constexpr int kMessages = 10;
constexpr int kBacklog = 50;
rd_kafka_t* producer;
int delivered, failed;
// Of the messages whose reports count: what the parent had sent at the fork is reported in both
// processes.
long batch;

void on_report(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  if (reinterpret_cast<long>(message->_private) != batch) return;
  (message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? delivered : failed)++;
}

bool produce(int messages) {
  static long number = 0;
  batch++;
  for (int i = 0; i < messages; i++) {
    char text[32];
    const int size = std::snprintf(text, sizeof text, "%d-%ld", getpid(), number++);
    const auto error = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC("catalogue"), RD_KAFKA_V_VALUE(text, static_cast<size_t>(size)),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(reinterpret_cast<void*>(batch)),
        RD_KAFKA_V_END);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
  }
  return true;
}

int produce_and_wait() {
  delivered = failed = 0;
  if (!produce(kMessages)) return victim::kFirst;
  while (delivered + failed < kMessages) rd_kafka_poll(producer, 100);
  return failed == 0 ? victim::kOk : victim::kLost;
}

int flush() {
  delivered = failed = 0;
  if (!produce(kMessages)) return victim::kFirst;
  if (rd_kafka_flush(producer, 60'000) != RD_KAFKA_RESP_ERR_NO_ERROR) return victim::kSecond;
  return delivered == kMessages ? victim::kOk : victim::kLost;
}

int destroy() {
  rd_kafka_destroy(producer);
  return victim::kOk;
}

// What has arrived, seen by a consumer in a process that was made before there was a producer.
class Arrivals {
 public:
  explicit Arrivals(const char* brokers) {
    int asked[2], told[2];
    if (pipe(asked) != 0 || pipe(told) != 0) std::abort();
    ask_ = asked[1];
    hear_ = told[0];
    if (fork() == 0) {
      close(asked[1]);
      watch(brokers, asked[0], told[1]);
    }
    close(asked[0]);
  }

  // Messages that arrived again since it was last asked.
  long again() {
    long count = -1;
    if (write(ask_, "", 1) != 1 || read(hear_, &count, sizeof count) != sizeof count) std::abort();
    return count;
  }

 private:
  [[noreturn]] static void watch(const char* brokers, int asked, int tell) {
    char error[512], byte;
    rd_kafka_conf_t* settings = rd_kafka_conf_new();
    for (const auto& [name, value] : {std::pair{"bootstrap.servers", brokers},
                                      {"group.id", "arrivals"},
                                      {"fetch.wait.max.ms", "10"},
                                      {"enable.auto.commit", "false"}})
      rd_kafka_conf_set(settings, name, value, error, sizeof error);
    rd_kafka_t* consumer = rd_kafka_new(RD_KAFKA_CONSUMER, settings, error, sizeof error);
    if (consumer == nullptr) _exit(2);
    rd_kafka_topic_partition_list_t* whole = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(whole, "catalogue", 0)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(consumer, whole);
    std::map<std::string, int> seen;
    std::int64_t first, end, next = 0;
    while (read(asked, &byte, 1) == 1) {
      if (rd_kafka_query_watermark_offsets(consumer, "catalogue", 0, &first, &end, 10'000) !=
          RD_KAFKA_RESP_ERR_NO_ERROR)
        _exit(3);
      long again = 0;
      while (next < end) {
        rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, 1000);
        if (message == nullptr) continue;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
          next = message->offset + 1;
          if (++seen[std::string(static_cast<char*>(message->payload), message->len)] > 1) again++;
        }
        rd_kafka_message_destroy(message);
      }
      if (write(tell, &again, sizeof again) != sizeof again) break;
    }
    _exit(0);
  }

  int ask_, hear_;
};

}  // namespace

int main(int count, char** arguments) {
  const victim::Options options = victim::parse(count, arguments);
  int (*child)() = nullptr;
  if (options.operation == "produce") child = produce_and_wait;
  if (options.operation == "flush") child = flush;
  if (options.operation == "destroy") child = destroy;
  const bool flushed = options.operation == "flushed", pending = options.operation == "pending";
  if (flushed || pending) child = flush;
  if (child == nullptr) victim::usage("produce, flush, destroy, pending, flushed");
  char error[512];
  const char* brokers = std::getenv("REPRO_KAFKA_BROKERS");
  if (brokers == nullptr) brokers = "";
  Arrivals* arrivals = flushed || pending ? new Arrivals(brokers) : nullptr;
  rd_kafka_conf_t* settings = rd_kafka_conf_new();
  rd_kafka_conf_set(settings, "bootstrap.servers", brokers, error, sizeof error);
  rd_kafka_conf_set(settings, "linger.ms", "1", error, sizeof error);
  rd_kafka_conf_set_dr_msg_cb(settings, on_report);
  producer = rd_kafka_new(RD_KAFKA_PRODUCER, settings, error, sizeof error);
  if (producer == nullptr || flush() != 0) {
    std::fprintf(stderr, "cannot produce: %s\n", error);
    return 2;
  }
  return victim::fork_loop(
      options,
      [&] {
        if (options.busy || arrivals != nullptr) produce(kBacklog);
        if (flushed) rd_kafka_flush(producer, 60'000);
      },
      child, flush,
      [&](int status) {
        const long again = status == 0 && arrivals != nullptr ? arrivals->again() : 0;
        if (again > 0) std::fprintf(stderr, "%ld messages of %d arrived twice\n", again, kBacklog);
        return again > 0 ? victim::kTwice : status;
      });
}
