// LD_PRELOAD lists, and whether programs can be preloaded.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "shim/command/elf_image.h"
#include "shim/command/library.h"
#include "shim/command/program.h"

using namespace forkmend::command;

namespace {

class Directory {
 public:
  Directory() {
    char name[] = "/tmp/forkmend-unit-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string program(const std::string& name, const std::string& text) const {
    const std::string file = path_ + "/" + name;
    std::ofstream(file, std::ios::binary) << text;
    chmod(file.c_str(), 0755);
    return file;
  }

 private:
  std::string path_;
};

std::string content(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// "fail: text" of the first failure, or "" if there is none.
std::string failure(const std::string& file) {
  for (const Finding& finding : check_program(file)) {
    if (finding.level == Level::fail) return finding.text;
  }
  return "";
}

}  // namespace

TEST_CASE("LD_PRELOAD keeps what is there") {
  const Library ours{"/opt/libforkmend.so", "/opt/libforkmend.so"};
  CHECK(preload_list("", ours) == "/opt/libforkmend.so");
  CHECK(preload_list("libjemalloc.so.2 /x.so", ours) ==
        "/opt/libforkmend.so:libjemalloc.so.2:/x.so");
  CHECK(preload_list("/x.so:/opt/libforkmend.so", ours) == "/x.so:/opt/libforkmend.so");
  CHECK(preload_list("/x.so::/other/libforkmend.so:", ours) == "/opt/libforkmend.so:/x.so");
  const Library bare{"/usr/lib/libforkmend.so", "libforkmend.so"};
  CHECK(preload_list("libforkmend.so", bare) == "libforkmend.so");
}

TEST_CASE("a library that the loader would refuse") {
  CHECK(library_problem("/nonexistent.so") == "No such file or directory");
  CHECK(library_problem("/etc/passwd") == "is no ELF file");
  CHECK(library_problem("/tmp") == "is a directory");
  CHECK(library_problem("/bin/sh") == "is a program, not a library");
}

TEST_CASE("programs that can be preloaded, and those that cannot") {
  const Directory directory;
  const std::string self = content("/proc/self/exe");
  CHECK(failure("/proc/self/exe") == "");

  const std::string cut = directory.program("cut", self.substr(0, 4096));
  CHECK(failure(cut) == cut + " is cut short: install it again");

  const std::string script = directory.program("script", "#!/bin/sh\ntrue\n");
  CHECK(failure(script) == "");
  const std::string lost = directory.program("lost", "#! /nonexistent/python -u\n");
  CHECK(failure(lost).find("/nonexistent/python: No such file or directory") == 0);
  const std::string env = directory.program("env", "#!/usr/bin/env -S A=b sh -e\n");
  CHECK(failure(env) == "");
  const std::string bad_env = directory.program("bad_env", "#!/usr/bin/env nosuchprogram\n");
  CHECK(failure(bad_env).find("nosuchprogram: not found") == 0);
  const std::string loop =
      directory.program("loop", "#!" + lost.substr(0, lost.rfind('/')) + "/loop\n");
  CHECK(failure(loop).find("is no ELF file") != std::string::npos);
  CHECK(failure(directory.program("text", "hello")).find("is no ELF file") != std::string::npos);

  std::string musl = self;
  const std::size_t at = musl.find("/ld-linux");
  if (at != std::string::npos) {
    musl.replace(at, 8, "/ld-musl");
    CHECK(failure(directory.program("musl", musl)).find("uses musl") != std::string::npos);
  }
  std::string other = self;
  other[18] = static_cast<char>(0xf3);  // e_machine: RISC-V
  other[19] = 0;
  CHECK(failure(directory.program("other", other)).find("is for 64-bit RISC-V") !=
        std::string::npos);
}

TEST_CASE("where execvp would find a program") {
  int code = 0;
  std::string why;
  CHECK(find_program("sh", code, why) != "");
  CHECK(find_program("nosuchprogram", code, why) == "");
  CHECK(code == 127);
  CHECK(find_program("/etc/passwd", code, why) == "");
  CHECK(code == 126);
  CHECK(find_program("/nonexistent/x", code, why) == "");
  CHECK(code == 127);
  CHECK(find_program("", code, why) == "");
}

TEST_CASE("damaged ELF files are no crash") {
  const Directory directory;
  std::string self = content("/proc/self/exe").substr(0, 70000);
  unsigned state = 12345;
  for (int round = 0; round < 60; ++round) {
    std::string damaged = self;
    for (int i = 0; i < 12; ++i) {
      state = state * 1103515245 + 12345;
      damaged[16 + (state >> 8) % 1200] = static_cast<char>(state >> 24);
    }
    std::string why;
    const auto image = ElfImage::open(directory.program("damaged", damaged), why);
    if (image == nullptr) continue;
    char buffer[64];
    image->build_id();
    image->defines("main");
    if (const auto range = image->eh_frame_hdr()) image->read(range->address, buffer, 64);
    CHECK(image->needed().size() < 10000);
  }
}
