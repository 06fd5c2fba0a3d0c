// A Kafka broker for the catalogue: librdkafka's own mock cluster, in a process of its own.
//
// Prints one JSON event with its address, counts nothing, and ends when its standard input closes.
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <unistd.h>

#include <cstdio>

int main() {
  char error[512];
  rd_kafka_t* handle =
      rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), error, sizeof error);
  if (handle == nullptr) {
    std::fprintf(stderr, "%s\n", error);
    return 1;
  }
  rd_kafka_mock_cluster_t* cluster = rd_kafka_mock_cluster_new(handle, 1);
  if (cluster == nullptr) return 1;
  rd_kafka_mock_topic_create(cluster, "catalogue", 1, 1);
  std::printf("{\"brokers\": \"%s\"}\n", rd_kafka_mock_cluster_bootstraps(cluster));
  std::fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  _exit(0);
}
