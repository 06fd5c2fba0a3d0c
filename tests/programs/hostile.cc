// Ordinary work (ordinary.h) where a program has less than it is used to. It ends as it does
// without the shim.
//
//   hostile work                   nothing is taken away
//   hostile MODE [VALUE] [exec]    takes it away and works; exec: and starts itself anew, so that
//   the shim is loaded there
//
// Descriptors: closed (0 to 2), all-closed, nofile N. Limits: stack KIB, as MIB (beside what it
// has), nproc, memlock, fsize, small-stacks (threads on PTHREAD_STACK_MIN). Namespaces: no-proc,
// chroot, pid-one, user. System calls that a filter refuses, from here on: enosys, eperm, killed:
// see kRefused.
#include <dlfcn.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstddef>

#include "tests/programs/ordinary.h"

// Debian bullseye's headers are older than the call.
#if !defined(SYS_close_range)
#define SYS_close_range 436
#endif

namespace {

using victim::is;

// What the work does without. The shim may ask for these, and has to take a no for an answer.
constexpr long kRefused[] = {SYS_openat,
                             SYS_readlinkat,
                             SYS_process_vm_readv,
                             SYS_process_vm_writev,

                             SYS_membarrier,
                             SYS_socket,
                             SYS_socketpair,
                             SYS_memfd_create,
                             SYS_getdents64,
                             SYS_ioctl,
                             SYS_fcntl,
                             SYS_mkdirat,
                             SYS_eventfd2,
                             SYS_epoll_create1,
                             SYS_pipe2,
                             SYS_prctl,
                             SYS_sigaltstack,
                             SYS_gettid,
                             SYS_get_robust_list,
                             SYS_faccessat,
                             SYS_madvise,
                             SYS_getrandom,
                             SYS_statx,
                             SYS_newfstatat,
                             SYS_pread64,
                             SYS_rt_sigpending,
                             SYS_getppid,
                             SYS_sched_yield};
// What is not answered by death. libc itself: madvise, at the end of a thread. The shim, at a fork
// beside threads that are in no call it knows: openat, for /proc; in a child with a lost thread
// that had not begun: process_vm_readv; and when a process creates its first thread, never again:
// the others.
constexpr long kAskedForAlways[] = {SYS_madvise, SYS_openat, SYS_process_vm_readv};
constexpr long kAskedForAtFirst[] = {SYS_readlinkat, SYS_gettid,    SYS_get_robust_list,
                                     SYS_faccessat,  SYS_getrandom, SYS_membarrier};

template <std::size_t N>
bool holds(const long (&list)[N], long call) {
  for (const long each : list) {
    if (each == call) return true;
  }
  return false;
}

// A filter of the kernel's: `action` for the calls above, all others allowed.
void refuse(unsigned action, bool at_first_too) {
  sock_filter program[2 + 2 * sizeof kRefused / sizeof kRefused[0]];
  unsigned short size = 0;
  program[size++] = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (const long call : kRefused) {
    if (action == SECCOMP_RET_KILL_PROCESS && holds(kAskedForAlways, call)) continue;
    if (!at_first_too && holds(kAskedForAtFirst, call)) continue;
    program[size++] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1);
    program[size++] = BPF_STMT(BPF_RET | BPF_K, action);
  }
  program[size++] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog filter{size, program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
    victim::set_up_failed("seccomp");
}

void limit(int resource, rlim_t value) {
  const rlimit both{value, value};
  if (setrlimit(static_cast<__rlimit_resource>(resource), &both) != 0)
    victim::set_up_failed("setrlimit");
}

rlim_t address_space_kib() {
  FILE* file = fopen("/proc/self/statm", "re");
  unsigned long pages = 0;
  if (file == nullptr || fscanf(file, "%lu", &pages) != 1) victim::set_up_failed("statm");
  fclose(file);
  return pages * 4;
}

void new_mounts() {
  if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    victim::set_up_failed("unshare");
}

// The work in a child that is process 1 of its own namespace.
[[noreturn]] void as_process_one(int (*work)()) {
  const pid_t child = fork();
  if (child == 0) _exit(getpid() == 1 ? work() : 96);
  _exit(ordinary::result_of(child));
}

int plain_work() { return ordinary::work(); }

// True if the mode has a value of its own.
bool take_away(const char* mode, long value) {
  if (is(mode, "closed")) {
    for (int fd = 0; fd < 3; fd++) close(fd);
  } else if (is(mode, "all-closed")) {
    if (syscall(SYS_close_range, 0u, ~0u, 0) != 0) victim::set_up_failed("close_range");
  } else if (is(mode, "nofile")) {
    return limit(RLIMIT_NOFILE, static_cast<rlim_t>(value)), true;
  } else if (is(mode, "stack")) {
    return limit(RLIMIT_STACK, static_cast<rlim_t>(value) << 10), true;
  } else if (is(mode, "as")) {
    return limit(RLIMIT_AS, (address_space_kib() << 10) + (static_cast<rlim_t>(value) << 20)), true;
  } else if (is(mode, "memlock")) {
    limit(RLIMIT_MEMLOCK, 0);
  } else if (is(mode, "fsize")) {
    limit(RLIMIT_FSIZE, 0);
  } else if (is(mode, "no-proc")) {
    new_mounts();
    if (umount2("/proc", MNT_DETACH) != 0) victim::set_up_failed("umount");
  } else if (is(mode, "chroot")) {
    char empty[] = "/tmp/hostile-XXXXXX";
    if (mkdtemp(empty) == nullptr || chroot(empty) != 0 || chdir("/") != 0)
      victim::set_up_failed("chroot");
  } else if (is(mode, "pid-one")) {
    if (unshare(CLONE_NEWPID) != 0) victim::set_up_failed("unshare");
    as_process_one(plain_work);
  } else if (is(mode, "user")) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) != 0)
      victim::set_up_failed("unshare");
    as_process_one(plain_work);
  } else if (is(mode, "enosys")) {
    refuse(SECCOMP_RET_ERRNO | ENOSYS, true);
  } else if (is(mode, "eperm")) {
    refuse(SECCOMP_RET_ERRNO | EPERM, true);
  } else if (is(mode, "killed")) {
    refuse(SECCOMP_RET_KILL_PROCESS, false);
  } else if (is(mode, "killed-later")) {
    if (const int code = ordinary::work()) _exit(60 + code);
    refuse(SECCOMP_RET_KILL_PROCESS, true);
  } else if (!is(mode, "work")) {
    victim::set_up_failed(mode);
  }
  return false;
}

// A limit of threads that is met in the middle of the work: refused is refused, and what was made
// is well.
int met_limit() {
  victim::become_nobody();
  limit(RLIMIT_NPROC, 1);
  pthread_t thread;
  if (pthread_create(&thread, nullptr, ordinary::sleep_until_cancelled, nullptr) != EAGAIN)
    return 50;
  if (fork() >= 0 || errno != EAGAIN) return 51;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  return pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0 ? 0 : 52;
}

int on_small_stacks() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstacksize(&attributes, static_cast<size_t>(sysconf(_SC_THREAD_STACK_MIN))) !=
      0)
    return 53;
  return ordinary::work(&attributes);
}

}  // namespace

int main(int count, char** arguments) {
  // libc loads it at the first cancellation, and could not then.
  if (dlopen("libgcc_s.so.1", RTLD_NOW) == nullptr) victim::set_up_failed("libgcc_s.so.1");
  const char* mode = arguments[1];
  if (is(mode, "nproc")) _exit(met_limit());
  if (is(mode, "small-stacks")) _exit(on_small_stacks());
  const char* value = count > 2 ? arguments[2] : "0";
  const int next = take_away(mode, atol(value)) ? 3 : 2;
  if (count > next && is(arguments[next], "exec")) {
    execl(arguments[0], arguments[0], "work", nullptr);
    victim::set_up_failed("execl");
  }
  _exit(ordinary::work());
}
