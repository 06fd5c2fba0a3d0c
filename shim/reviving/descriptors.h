// The descriptors of this process as /proc and fstat show them: what each is, and what is in it.
//
// Promises: raw system calls only, no allocation; for a child before its threads go on. Does not:
// see descriptors of which /proc cannot be read; every function then says so or finds nothing.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <string_view>

#include "shim/base/directory.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"

namespace forkmend::descriptors {

// 0 if it is not open.
inline unsigned long inode_of(int fd) {
  struct stat status {};
  if (sys::call(SYS_fstat, fd, sys::arg(&status)) != 0) return 0;
  return status.st_ino;
}

using Link = Text<96>;  // "anon_inode:[eventpoll]", "socket:[4026531840]"

inline void read_link(int fd, Link& link) {
  Text<48> path;
  path.format("/proc/self/fd/{}", fd).append('\0');
  char buffer[80];
  const long n =
      sys::call(SYS_readlinkat, AT_FDCWD, sys::arg(path.data()), sys::arg(buffer), sizeof buffer);
  link.clear();
  if (n > 0) link.append(std::string_view(buffer, static_cast<std::size_t>(n)));
}

inline bool is(const Link& link, std::string_view prefix) {
  return link.view().substr(0, prefix.size()) == prefix;
}

// Visits every open descriptor: void visit(fd, link). Descriptors may be replaced by the visitor.
// False if /proc cannot be read.
template <class Visit>
bool for_each_descriptor(Visit&& visit) {
  const long directory = sys::open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  if (directory < 0) return false;
  sys::for_each_entry(static_cast<int>(directory), [&](const char* name) {
    int fd = 0;
    const char* digit = name;
    for (; *digit >= '0' && *digit <= '9'; digit++) fd = fd * 10 + (*digit - '0');
    if (digit == name || fd == directory) return true;
    Link link;
    read_link(fd, link);
    visit(fd, link);
    return true;
  });
  sys::close(static_cast<int>(directory));
  return true;
}

// The text of /proc/self/fdinfo/FD, line by line: void visit(line).
template <class Visit>
bool for_each_line(int fd, Visit&& visit) {
  Text<48> path;
  path.format("/proc/self/fdinfo/{}", fd).append('\0');
  const long info = sys::open(path.data(), O_RDONLY);
  if (info < 0) return false;
  char buffer[4096], line[512];
  std::size_t size = 0;
  for (long n; (n = sys::read(static_cast<int>(info), buffer, sizeof buffer)) > 0;) {
    for (long i = 0; i < n; i++) {
      if (buffer[i] != '\n') {
        if (size < sizeof line) line[size++] = buffer[i];
        continue;
      }
      visit(std::string_view(line, size));
      size = 0;
    }
  }
  sys::close(static_cast<int>(info));
  return true;
}

// Reads the number behind `key` in a line, in the base given; false if the key is not there.
inline bool number_after(std::string_view line, std::string_view key, int base,
                         std::uint64_t& out) {
  std::size_t at = line.find(key);
  if (at == std::string_view::npos) return false;
  at += key.size();
  while (at < line.size() && (line[at] == ' ' || line[at] == '\t')) at++;
  out = 0;
  for (; at < line.size(); at++) {
    const char c = line[at];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
    if (digit >= base) break;
    out = out * static_cast<unsigned>(base) + static_cast<unsigned>(digit);
  }
  return true;
}

}  // namespace forkmend::descriptors
