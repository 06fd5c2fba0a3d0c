#include "shim/reviving/kernel_objects.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <atomic>
#include <new>

#include "shim/base/lazy.h"
#include "shim/base/load.h"
#include "shim/base/syscall.h"
#include "shim/base/text.h"
#include "shim/reporting/event.h"
#include "shim/reviving/descriptors.h"
#include "shim/runtimes/configuration.h"
#include "shim/runtimes/runtime.h"
#include "shim/threads/thread.h"

namespace forkmend::kernel_objects {
namespace {

using namespace descriptors;

constexpr int kMostDescriptors = 65536;
constexpr int kMostSets = 64;       // epoll sets of one runtime; tokio has two
constexpr int kMostRebuilt = 4096;  // descriptors rebuilt at once
constexpr std::size_t kEventfd = sizeof(std::uint64_t);

struct Made {
  const void* caller;
  int other;               // of a pair: the other end; -1
  unsigned long inode[2];  // of a pair: this end's and the other's; of a connection; numbers are
                           // reused
  bool written;            // by this process, before it was forked
  bool is_connection() const { return other < 0 && inode[0] != 0; }
};
struct Table {
  Made made[kMostDescriptors];
};
Lazy<Table> lazy_table;
std::atomic<int> noted{0};  // numbers below this may have an entry

// --- whose objects are noted
// -----------------------------------------------------------------------
//
// Where somebody asked for threads to be made anew: everybody's. Else those of libraries that a
// built-in profile does it for, unasked. Nearly no process has one, and all create such objects: a
// call that creates one asks the loader once whose it is, and remembers. (An object loaded where
// another was unloaded, with the same call at the same address, is taken for the other: then a set
// is still rebuilt because a lost thread waits on it, and what it watches with it.)

constexpr unsigned kVerdictBits = 5;  // a program has some ten such calls
constexpr std::uintptr_t kIsNoted = std::uintptr_t{1} << 63;
std::atomic<std::uintptr_t> verdicts[1 << kVerdictBits];  // an address, kIsNoted

FORKMEND_COLD bool ask_loader(std::uintptr_t caller, std::atomic<std::uintptr_t>& verdict) {
  const char* path = modules::path_of_loaded(reinterpret_cast<const void*>(caller));
  if (path == nullptr) return false;  // not told now: asked again
  const bool is_noted = configuration::makes_anew_unasked(path);
  verdict.store(caller | (is_noted ? kIsNoted : 0), std::memory_order_relaxed);
  return is_noted;
}

bool is_resumed_unasked(const void* address) {
  constexpr std::uint64_t kSpread = 0x9e3779b97f4a7c15;
  const auto caller = reinterpret_cast<std::uintptr_t>(address);
  auto& verdict = verdicts[caller * kSpread >> (64 - kVerdictBits)];
  const std::uintptr_t known = verdict.load(std::memory_order_relaxed);
  if (FORKMEND_LIKELY(known == caller)) return false;
  return known == (caller | kIsNoted) || ask_loader(caller, verdict);
}

bool takes_notes(const void* caller) {
  return is_active() && (configuration::default_policy() == Policy::forkall ||
                         configuration::asked_to_make_anew() || is_resumed_unasked(caller));
}

// The number is another object's now.
void forget(int fd) {
  Table* table = lazy_table.existing();
  if (FORKMEND_UNLIKELY(table != nullptr) && fd >= 0 && fd < kMostDescriptors &&
      table->made[fd].caller != nullptr)
    table->made[fd] = {nullptr, -1, {0, 0}, false};
}

Made* note(int fd, const void* caller) {
  Table* table = lazy_table.get();
  if (table == nullptr) return nullptr;
  if (fd >= kMostDescriptors) {
    static std::atomic<bool> said{false};
    if (!said.exchange(true)) report_off("kernel objects", "descriptors from 65,536 on");
    return nullptr;
  }
  int highest = noted.load(std::memory_order_relaxed);
  while (highest <= fd && !noted.compare_exchange_weak(highest, fd + 1)) {
  }
  Made& made = table->made[fd];
  made = {caller, -1, {0, 0}, false};
  return &made;
}

const Made* made_of(int fd) {
  const Table* table = lazy_table.existing();
  if (table == nullptr || fd < 0 || fd >= kMostDescriptors) return nullptr;
  return table->made[fd].caller != nullptr ? &table->made[fd] : nullptr;
}

bool is_of(const Runtime& r, const Made* made) {
  return made != nullptr && r.dso != nullptr && modules::find(made->caller) == r.dso;
}

// Sets that are this process's own already.
int rebuilt[kMostSets];
FORKMEND_SAME_PAGE int rebuilt_count;

bool is_rebuilt(int set) {
  for (int i = 0; i < rebuilt_count; i++) {
    if (rebuilt[i] == set) return true;
  }
  return false;
}

// --- one rebuild
// ---------------------------------------------------------------------------------

class Rebuild {
 public:
  explicit Rebuild(const Runtime& r, const Thread* one = nullptr)
      : runtime_(r), one_(one), by_default_(one != nullptr) {}

  int run() {
    if (!has_any()) return 0;
    if (!find_sets()) return errno_or(ENOSYS);
    find_copies();
    for (int i = 0; i < set_count_ && error_ == 0; i++) {
      if (!copy_of_earlier_[i]) rebuild_set(i);
    }
    if (error_ == 0 && !runtime_.objects_rebuilt) rebuild_rest();
    return error_;
  }

 private:
  struct Target {
    int fd;
    std::uint32_t events;
    std::uint64_t data, inode;
  };
  template <class Visit>
  static void for_each_target(int set, Visit&& visit) {
    for_each_line(set, [&](std::string_view line) {
      std::uint64_t fd, events, data;
      if (!number_after(line, "tfd:", 10, fd) || !number_after(line, "events:", 16, events) ||
          !number_after(line, "data:", 16, data))
        return;
      std::uint64_t inode = 0;
      number_after(line, "ino:", 16, inode);
      visit(Target{static_cast<int>(fd), static_cast<std::uint32_t>(events), data, inode});
    });
  }

  int errno_or(int fallback) const { return error_ != 0 ? error_ : fallback; }
  void fail(long result) {
    if (error_ == 0) error_ = result < 0 ? static_cast<int>(-result) : EIO;
  }

  static bool waits_on(const Thread& t, int fd) {
    return t.wait.call.load() == WaitCall::epoll_wait &&
           t.wait.object == reinterpret_cast<const void*>(static_cast<long>(fd));
  }

  bool is_own_set(int fd) const {
    if (!by_default_) return is_of(runtime_, made_of(fd)) || waited_on(fd) || signals_itself(fd);
    if (is_rebuilt(fd)) return false;
    // One that another lost thread waits on is that one's.
    return waits_on(*one_, fd) || (!runtime_.objects_rebuilt && !is_program() &&
                                   is_of(runtime_, made_of(fd)) && !waited_on(fd));
  }

  bool waited_on(int fd) const {
    bool found = false;
    threads::for_each_lost([&](Thread& t) {
      found = t.runtime == &runtime_ && t.wait.call.load() == WaitCall::epoll_wait &&
              t.wait.object == reinterpret_cast<const void*>(static_cast<long>(fd));
      return !found;
    });
    return found;
  }

  // A set made by a raw system call: its maker watches a descriptor in it by which it signals to
  // itself, and keeps the address of a variable of its own with that (Go: netpollBreakRd,
  // netpollEventFd).
  bool signals_itself(int set) const {
    bool found = false;
    if (runtime_.signal == 0) return found;
    for_each_target(set, [&](const Target& target) { found |= is_signal_to_itself(target); });
    return found;
  }
  bool is_signal_to_itself(const Target& target) const {
    return runtime_.signal != 0 && runtime_.dso != nullptr && target.data >= runtime_.dso->lo &&
           target.data < runtime_.dso->hi;
  }

  bool has_any() const {
    bool any = runtime_.signal != 0;  // its calls are not seen
    threads::for_each_lost([&](Thread& t) {
      any = any || (t.runtime == &runtime_ && t.wait.call.load() == WaitCall::epoll_wait);
      return !any;
    });
    for (int fd = 0; !any && fd < noted.load(std::memory_order_relaxed); fd++)
      any = is_of(runtime_, made_of(fd));
    return any;
  }

  bool find_sets() {
    return for_each_descriptor([&](int fd, const Link& link) {
      if (!is(link, "anon_inode:[eventpoll]")) return;
      const bool own = is_own_set(fd);
      if (own && set_count_ < kMostSets) sets_[set_count_++] = fd;
    });
  }

  // A set has copies under other numbers (tokio has two). Whether two numbers are one set: what is
  // added to the one exists in the other.
  void find_copies() {
    const long probe = sys::call(SYS_eventfd2, 0, EFD_FLAGS);
    if (probe < 0) return fail(probe);
    const int first_sets = set_count_;
    for (int i = 0; i < first_sets; i++) {
      if (copy_of_earlier_[i]) continue;
      epoll_event none{};
      if (control(sets_[i], EPOLL_CTL_ADD, static_cast<int>(probe), none) != 0) continue;
      for_each_descriptor([&](int fd, const Link& link) {
        if (fd == sets_[i] || !is(link, "anon_inode:[eventpoll]")) return;
        const long result = control(fd, EPOLL_CTL_ADD, static_cast<int>(probe), none);
        if (result == 0) control(fd, EPOLL_CTL_DEL, static_cast<int>(probe), none);
        if (result == -EEXIST) note_copy(i, fd);
      });
      control(sets_[i], EPOLL_CTL_DEL, static_cast<int>(probe), none);
    }
    sys::close(static_cast<int>(probe));
  }

  void note_copy(int of, int fd) {
    for (int j = 0; j < set_count_; j++) {
      if (sets_[j] != fd) continue;
      copy_of_earlier_[j] = true;
      original_[j] = of;
      return;
    }
    if (set_count_ == kMostSets) return;
    sets_[set_count_] = fd;
    copy_of_earlier_[set_count_] = true;
    original_[set_count_++] = of;
  }

  static long control(int set, int operation, int fd, epoll_event event) {
    return sys::call(SYS_epoll_ctl, set, operation, fd, sys::arg(&event));
  }

  void rebuild_set(int which) {
    const long fresh = sys::call(SYS_epoll_create1, EPOLL_CLOEXEC);
    if (fresh < 0) return fail(fresh);
    // Read whole before anything is replaced: what is replaced may vanish from it.
    target_count_ = 0;
    for_each_target(sets_[which], [&](const Target& target) {
      if (target_count_ < kMostRebuilt) targets_[target_count_++] = target;
    });
    for (int i = 0; i < target_count_ && error_ == 0; i++) {
      const Target& target = targets_[i];
      // The number may have gone to another file since it was added.
      if (target.inode != 0 && !done(target.fd) && inode_of(target.fd) != target.inode) continue;
      if (!is_private(target.fd) && is_wake_up(target.fd)) continue;
      renew(target.fd, is_signal_to_itself(target));
      epoll_event event{};
      event.events = target.events;
      event.data.u64 = target.data;
      control(static_cast<int>(fresh), EPOLL_CTL_ADD, target.fd, event);
    }
    for (int i = 0; i < set_count_ && error_ == 0; i++) {
      if (i != which && !(copy_of_earlier_[i] && original_[i] == which)) continue;
      replace(sets_[i], static_cast<int>(fresh));
      if (rebuilt_count < kMostSets) rebuilt[rebuilt_count++] = sets_[i];
    }
    sys::close(static_cast<int>(fresh));
  }

  // A socket that this library connected, not another that has its number since. What the program
  // itself connected may have nothing to do with its pool.
  bool is_connection(int fd, const Made& made, const Link& link) const {
    return runtime_.dso != modules::of_executable() && made.is_connection() &&
           is(link, "socket:") && inode_of(fd) == made.inode[0];
  }

  // What the runtime's library made and no set watches.
  void rebuild_rest() {
    for_each_descriptor([&](int fd, const Link& link) {
      const Made* made = made_of(fd);
      if (!is_of(runtime_, made) || done(fd) || error_ != 0) return;
      if (by_default_ && (!is_private(fd) || !is_wake_up(fd))) return;
      if (is(link, "anon_inode:[eventfd]") || is(link, "anon_inode:[timerfd]") ||
          is_connection(fd, *made, link) || intact_pair(fd) != nullptr)
        renew(fd);
    });
  }

  bool done(int fd) const {
    for (int i = 0; i < done_count_; i++) {
      if (done_[i] == fd) return true;
    }
    return false;
  }

  // `fresh` under the number `fd`, with its flags.
  void replace(int fd, int fresh) {
    const long flags = sys::call(SYS_fcntl, fd, F_GETFD);
    const long status = sys::call(SYS_fcntl, fd, F_GETFL);
    const long result = sys::call(SYS_dup3, fresh, fd, (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
    if (result < 0) return fail(result);
    if (status >= 0) sys::call(SYS_fcntl, fd, F_SETFL, status & (O_NONBLOCK | O_ASYNC | O_APPEND));
    if (done_count_ < kMostRebuilt) done_[done_count_++] = fd;
  }

  // An eventfd, a pipe, or an end of a pair.
  bool is_wake_up(int fd) const {
    Link link;
    read_link(fd, link);
    return is(link, "anon_inode:[eventfd]") || is(link, "pipe:") || intact_pair(fd) != nullptr;
  }

  // Every descriptor that is the same object as `link`.
  template <class Visit>
  void for_each_same(const Link& wanted, Visit&& visit) {
    for_each_descriptor([&](int fd, const Link& link) {
      if (link.view() == wanted.view()) visit(fd);
    });
  }

  // `own`: the runtime signals to itself by it. The parent may have read what was in it at the
  // fork: one wake-up too many is harmless, one less may be missed for ever. A pipe is renewed only
  // if the runtime alone has both its ends: such a one, or one noted as a pair.
  void renew(int fd, bool own = false) {
    if (done(fd)) return;
    Link link;
    read_link(fd, link);
    if (is(link, "anon_inode:[eventfd]")) return renew_eventfd(fd, own);
    if (is(link, "anon_inode:[timerfd]")) return renew_timerfd(fd);
    if (is(link, "pipe:")) return renew_pipe(fd, link, own);
    if (is(link, "socket:")) return renew_socket(fd, link);
  }

  static bool eventfd_facts(int fd, std::uint64_t& count, std::uint64_t& id, bool& semaphore) {
    count = 0;
    id = ~std::uint64_t{0};
    semaphore = false;
    return for_each_line(fd, [&](std::string_view line) {
      std::uint64_t value;
      number_after(line, "eventfd-count:", 16, count);
      number_after(line, "eventfd-id:", 10, id);
      if (number_after(line, "eventfd-semaphore:", 10, value)) semaphore = value != 0;
    });
  }

  void renew_eventfd(int fd, bool own) {
    std::uint64_t count, id;
    bool semaphore;
    if (!eventfd_facts(fd, count, id, semaphore)) return fail(-ENOSYS);
    const long fresh = sys::call(SYS_eventfd2, 0, EFD_FLAGS | (semaphore ? 1 : 0));
    if (fresh < 0) return fail(fresh);
    if (own && count == 0) count = 1;
    if (count > 0) sys::write(static_cast<int>(fresh), &count, kEventfd);
    if (id != ~std::uint64_t{0}) {
      for_each_descriptor([&](int other, const Link& link) {
        std::uint64_t other_count, other_id;
        bool other_semaphore;
        if (other == fd || other == fresh || !is(link, "anon_inode:[eventfd]") ||
            !eventfd_facts(other, other_count, other_id, other_semaphore) || other_id != id)
          return;
        replace(other, static_cast<int>(fresh));
      });
    }
    replace(fd, static_cast<int>(fresh));
    sys::close(static_cast<int>(fresh));
  }

  void renew_timerfd(int fd) {
    std::uint64_t clock = CLOCK_MONOTONIC;
    for_each_line(fd, [&](std::string_view line) { number_after(line, "clockid:", 10, clock); });
    itimerspec time{};
    const long got = sys::call(SYS_timerfd_gettime, fd, sys::arg(&time));
    if (got < 0) return fail(got);
    const long fresh = sys::call(SYS_timerfd_create, static_cast<long>(clock), TFD_CLOEXEC);
    if (fresh < 0) return fail(fresh);
    sys::call(SYS_timerfd_settime, fresh, 0, sys::arg(&time), 0);
    replace(fd, static_cast<int>(fresh));
    sys::close(static_cast<int>(fresh));
  }

  // Of a pipe, or of a pair of sockets.
  static bool are_ends(unsigned long one, unsigned long other) {
    return one != 0 && other != 0 && one - other + 1 <= 2;
  }

  // By default only what it is certain that the library alone uses: the program's own objects may
  // be there for its children to write to.
  bool is_private(int fd) const {
    if (!by_default_) return true;
    const Made* made = made_of(fd);
    return made != nullptr && (made->written || !is_program());
  }
  bool is_program() const { return runtime_.dso == modules::of_executable(); }

  // A pair whose ends this library made, as long as both are still what they were.
  const Made* intact_pair(int fd) const {
    const unsigned long inode = inode_of(fd);
    const Table* table = lazy_table.existing();
    if (table == nullptr || inode == 0) return nullptr;
    for (int i = 0; i < noted.load(std::memory_order_relaxed); i++) {
      const Made& made = table->made[i];
      if (made.caller == nullptr || made.other < 0 || !is_of(runtime_, &made)) continue;
      if (made.inode[0] == inode && inode_of(made.other) == made.inode[1]) return &made;
      if (made.inode[0] == 0 && inode_of(i) == inode && are_ends(inode, inode_of(made.other)))
        return &made;
    }
    return nullptr;
  }

  void renew_pipe(int fd, const Link& link, bool own) {
    if (!own && intact_pair(fd) == nullptr) return;  // from somebody else, or to somebody else
    int fresh[2];
    const long made = sys::call(SYS_pipe2, sys::arg(fresh), O_CLOEXEC | O_NONBLOCK);
    if (made < 0) return fail(made);
    int unread = 0;
    for_each_same(link, [&](int end) {
      const bool writes = (sys::call(SYS_fcntl, end, F_GETFL) & O_ACCMODE) != O_RDONLY;
      if (!writes && unread == 0) sys::call(SYS_ioctl, end, FIONREAD, sys::arg(&unread));
    });
    fill(fresh[1], own && unread == 0 ? 1 : unread);
    for_each_same(link, [&](int end) {
      const bool writes = (sys::call(SYS_fcntl, end, F_GETFL) & O_ACCMODE) != O_RDONLY;
      replace(end, fresh[writes ? 1 : 0]);
    });
    sys::close(fresh[0]);
    sys::close(fresh[1]);
  }

  // As many wake-ups as the parent's holds: what is in them only the parent may read.
  static void fill(int fd, int bytes) {
    constexpr int kMostBytes = 4096;
    const char zeroes[64] = {};
    for (int left = bytes < kMostBytes ? bytes : kMostBytes; left > 0;) {
      const long n = sys::write(fd, zeroes, left < 64 ? static_cast<std::size_t>(left) : 64);
      if (n <= 0) return;
      left -= static_cast<int>(n);
    }
  }

  void renew_socket(int fd, const Link& link) {
    if (const Made* pair = intact_pair(fd)) return renew_pair(fd, *pair, link);
    int listening = 0;
    unsigned size = sizeof listening;
    sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, sys::arg(&listening), sys::arg(&size));
    if (listening != 0) return;
    int domain = 0;
    size = sizeof domain;
    sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, sys::arg(&domain), sys::arg(&size));
    if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX) return;  // netlink and others
    int ends[2];
    const long made =
        sys::call(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sys::arg(ends));
    if (made < 0) return fail(made);
    sys::close(ends[1]);
    for_each_same(link, [&](int same) { replace(same, ends[0]); });
    sys::close(ends[0]);
  }

  void renew_pair(int fd, const Made& pair, const Link& link) {
    int type = SOCK_STREAM, ends[2], unread[2] = {0, 0};
    unsigned size = sizeof type;
    sys::call(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, sys::arg(&type), sys::arg(&size));
    const long made =
        sys::call(SYS_socketpair, AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sys::arg(ends));
    if (made < 0) return fail(made);
    sys::call(SYS_ioctl, fd, FIONREAD, sys::arg(&unread[0]));
    sys::call(SYS_ioctl, pair.other, FIONREAD, sys::arg(&unread[1]));
    fill(ends[1], unread[0]);
    fill(ends[0], unread[1]);
    Link other;
    read_link(pair.other, other);
    for_each_same(link, [&](int same) { replace(same, ends[0]); });
    for_each_same(other, [&](int same) { replace(same, ends[1]); });
    sys::close(ends[0]);
    sys::close(ends[1]);
  }

  static constexpr int EFD_FLAGS = O_CLOEXEC | O_NONBLOCK;

  const Runtime& runtime_;
  const Thread* const one_;
  const bool by_default_;  // nobody asked for these threads
  int error_ = 0;
  int set_count_ = 0;
  int sets_[kMostSets];
  bool copy_of_earlier_[kMostSets] = {};
  int original_[kMostSets];
  int done_count_ = 0;
  int done_[kMostRebuilt];
  int target_count_ = 0;
  Target targets_[kMostRebuilt];
};

}  // namespace

int made(int fd, const void* caller) {
  if (fd < 0) return fd;
  if (takes_notes(caller)) {
    note(fd, caller);
  } else {
    forget(fd);
  }
  return fd;
}

int made_pair(int result, const int* fds, const void* caller) {
  if (result != 0) return result;
  if (!takes_notes(caller)) {
    forget(fds[0]);
    forget(fds[1]);
    return result;
  }
  // Nobody pays for two system calls where it is only the default: the ends of a pipe have one
  // inode, those of a pair of sockets neighbouring ones.
  const bool look = configuration::asked_to_make_anew() || is_resumed_unasked(caller);
  const unsigned long inode[2] = {look ? inode_of(fds[0]) : 0, look ? inode_of(fds[1]) : 0};
  for (int i = 0; i < 2; i++) {
    if (Made* end = note(fds[i], caller)) {
      end->other = fds[1 - i];
      end->inode[0] = inode[i];
      end->inode[1] = inode[1 - i];
    }
  }
  return result;
}

int connected(int result, int fd, const void* caller) {
  const int error = errno;
  if (!takes_notes(caller)) {
    forget(fd);
    errno = error;
    return result;
  }
  if (result == 0 || error == EINPROGRESS || error == EINTR) {
    if (Made* made = note(fd, caller)) made->inode[0] = inode_of(fd);
  }
  errno = error;
  return result;
}

void wrote(int fd) {
  Table* table = lazy_table.existing();
  if (table == nullptr || static_cast<unsigned>(fd) >= kMostDescriptors) return;
  Made& made = table->made[fd];
  if (made.caller != nullptr && !made.written) made.written = true;
}

bool is_noted(int fd, int& other) {
  const Made* made = made_of(fd);
  if (made == nullptr || made->is_connection()) return false;
  other = made->other;
  return true;
}

bool wakes_itself(int fd, const void* caller, int& other) {
  const Made* made = made_of(fd);
  if (made == nullptr || made->is_connection()) return false;
  other = made->other;
  if (made->written) return true;
  const modules::Module* module = modules::find(made->caller);
  return module != nullptr && module != modules::of_executable() && modules::find(caller) == module;
}

bool set_watches(int set, int fd) {
  bool found = false;
  for_each_line(set, [&](std::string_view line) {
    std::uint64_t target = 0;
    found = found || (number_after(line, "tfd:", 10, target) && static_cast<int>(target) == fd);
  });
  return found;
}

bool made_by(const Runtime& r, int fd) {
  const Made* made = made_of(fd);
  return made != nullptr && !made->is_connection() && is_of(r, made);
}

namespace {

int run(const Runtime& r, const Thread* one) {
  // Some 140 KiB: not on the stack of whoever triggers.
  const long memory = sys::call(SYS_mmap, 0, sizeof(Rebuild), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory < 0 && memory > -4096) return ENOMEM;
  auto* work = new (reinterpret_cast<void*>(memory)) Rebuild(r, one);
  const int error = work->run();
  sys::call(SYS_munmap, memory, sizeof(Rebuild));
  return error;
}

}  // namespace

int rebuild(const Runtime& r) { return run(r, nullptr); }

int rebuild(Runtime& r, const Thread& one) {
  const bool waits = one.wait.call.load() == WaitCall::epoll_wait;
  if (r.objects_rebuilt && !waits) return 0;
  const int error = run(r, &one);
  if (error == 0) r.objects_rebuilt = true;
  return error;
}

void after_fork_child() {
  if (rebuilt_count != 0) rebuilt_count = 0;
}

}  // namespace forkmend::kernel_objects
