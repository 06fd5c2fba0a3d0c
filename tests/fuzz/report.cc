// Report files: `forkmend report` explains what it can and prints nothing that a terminal obeys.
//
// Modules are looked up below a directory that does not exist: which files this machine has is no
// part of the input.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "shim/command/analysis.h"
#include "shim/command/block.h"
#include "shim/command/event_store.h"
#include "shim/command/output.h"
#include "tests/fuzz/fuzz.h"

using namespace forkmend::command;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = memfd_create("report.jsonl", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  fuzz::require(
      ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == static_cast<ssize_t>(size),
      "the fuzzer's own file");
  const Reports reports = read_reports(path);
  for (const std::string& problem : reports.problems) {
    fuzz::require_printable(printable(problem));
  }
  const Style plain(false);
  std::vector<const Event*> others;
  for (const Event& event : reports.events) {
    if (!event.is_lockup()) others.push_back(&event);
  }
  for (const Event& event : reports.events) {
    if (!event.is_lockup()) {
      fuzz::require_printable(other_row(event));
      continue;
    }
    const Analysis analysis = analyse(event, "/nonexistent");
    fuzz::require_printable(list_row(event, plain));
    fuzz::require(list_row(event, plain).find('\n') == std::string::npos, "a row is one line");
    fuzz::require_printable(full_block(event, analysis, others, plain));
    fuzz::require_printable(
        enriched(event, analysis).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
  }
  return 0;
}
