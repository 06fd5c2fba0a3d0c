// librdkafka: a producer that is alive across the fork.
//
//   produce   the child produces ten messages and waits for their delivery reports
//   flush     the child produces and calls rd_kafka_flush()
//   destroy   the child destroys the producer, which joins its threads
//
// --busy: messages of the parent are on their way at the fork.
#include <librdkafka/rdkafka.h>

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
  batch++;
  static char text[] = "message";
  for (int i = 0; i < messages; i++) {
    const auto error = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC("catalogue"), RD_KAFKA_V_VALUE(text, sizeof text - 1),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_OPAQUE(reinterpret_cast<void*>(batch)), RD_KAFKA_V_END);
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

}  // namespace

int main(int count, char** arguments) {
  const victim::Options options = victim::parse(count, arguments);
  int (*child)() = nullptr;
  if (options.operation == "produce") child = produce_and_wait;
  if (options.operation == "flush") child = flush;
  if (options.operation == "destroy") child = destroy;
  if (child == nullptr) victim::usage("produce, flush, destroy");
  char error[512];
  rd_kafka_conf_t* settings = rd_kafka_conf_new();
  const char* brokers = std::getenv("REPRO_KAFKA_BROKERS");
  rd_kafka_conf_set(settings, "bootstrap.servers", brokers != nullptr ? brokers : "", error,
                    sizeof error);
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
        if (options.busy) produce(kBacklog);
      },
      child, flush, victim::as_it_is);
}
