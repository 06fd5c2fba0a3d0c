// A program that cannot have the memory of a table of the shim's at its start: what it has open.
//
//   no_table         starts itself anew under a filter that refuses mappings without reserve, and
//                    counts its descriptors: exit code 0 if there are as many as before
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>

#include "tests/programs/victim.h"

namespace {

void refuse_noreserve() {
  const sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args) + 3 * sizeof(uint64_t)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_NORESERVE, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{sizeof filter / sizeof filter[0], const_cast<sock_filter*>(filter)};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    victim::set_up_failed("seccomp");
}

int count_descriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) victim::set_up_failed("/proc/self/fd");
  int count = 0;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] != '.') count++;
  }
  closedir(directory);
  return count - 1;  // the directory's own
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) {
    const int open = count_descriptors();
    victim::step("open", open);
    _exit(open == atoi(arguments[1]) ? 0 : 1);
  }
  // Whoever reads whether the parent has said a thing must find a parent with the shim in it.
  const pid_t child = victim::spawn([&] {
    char before[16];
    snprintf(before, sizeof before, "%d", count_descriptors());
    refuse_noreserve();
    execl("/proc/self/exe", arguments[0], before, nullptr);
    return victim::kSetUpFailed;
  });
  _exit(victim::reap(child));
}
