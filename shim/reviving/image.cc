#include "shim/reviving/image.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>

#include <atomic>
#include <cstdint>
#include <new>

#include "shim/base/real.h"
#include "shim/base/syscall.h"
#include "shim/reporting/event.h"
#include "shim/reviving/context.h"
#include "shim/runtimes/configuration.h"

namespace forkmend::image {
namespace {

// Enough of struct pthread: the last field used lies below 1,600 on all four versions, and the
// whole is 2,304 bytes or more.
constexpr std::size_t kBlock = 1792;
constexpr std::size_t kMostStatic = std::size_t{1} << 20;  // of static TLS; usual is 4 KiB
constexpr std::size_t kFirstKeys = 32;                     // values in the block itself
constexpr std::size_t kKeyTables = 32;                     // tables of 32 more each
constexpr std::size_t kKeyData = 16;                       // a sequence number and a value
constexpr std::size_t kDtv = 8;                            // tcbhead_t: tcb, dtv, self

struct Range {
  std::ptrdiff_t lo, hi;  // from the thread block
};

struct Layout {
  std::size_t whole;       // static TLS and the thread block: what libc takes from a stack's top
  std::size_t static_tls;  // the former, below the latter; 0 until a thread was seen
  Range libc;
  Range rseq;
  std::size_t keys, key_tables, keys_used;
  std::size_t keys_stored;  // bytes of them in an image
  std::size_t cleanup;
  std::size_t cancel_state;
  unsigned char cancel_mask;
  std::ptrdiff_t locale;
  std::size_t tid;  // 0: not known
  bool known;
};
Layout at;
bool probed;
const char* problem;
constexpr int kMostNoted = 8;  // CPython keeps it in two places at most
std::ptrdiff_t noted[kMostNoted];
std::atomic<int> noted_count{0};

constexpr std::size_t kWord = sizeof(std::uint64_t);

std::size_t keys_size() { return at.keys_used + 1 - at.keys; }

char* block_of(pthread_t thread) { return reinterpret_cast<char*>(thread); }

template <class T>
T read(const char* from) {
  T value;
  memcpy(&value, from, sizeof(T));  // NOLINT(bugprone-sizeof-expression): of pointers too
  return value;
}
template <class T>
void write(char* to, T value) {
  memcpy(to, &value, sizeof(T));
}

// The pointer among the words of the thread block; 0 if it is not there, or there twice.
std::size_t find_word(const char* block, const void* value, std::size_t end) {
  std::size_t found = 0;
  for (std::size_t i = 0; i + sizeof value <= end; i += sizeof value) {
    if (read<const void*>(block + i) != value) continue;
    if (found != 0) return 0;
    found = i;
  }
  return found;
}

// --- static thread-local storage
// -----------------------------------------------------------------

bool find_static_size() {
  using Info = void (*)(std::size_t*, std::size_t*);
  using MinStack = std::size_t (*)(const pthread_attr_t*);
  if (auto info = reinterpret_cast<Info>(dlsym(RTLD_DEFAULT, "_dl_get_tls_static_info"))) {
    std::size_t alignment = 0;
    info(&at.whole, &alignment);
  } else if (auto least =
                 reinterpret_cast<MinStack>(dlsym(RTLD_DEFAULT, "__pthread_get_minstack"))) {
    constexpr std::size_t kPageAndLeastStack = 4096 + 16384;
    at.whole = least(nullptr) - kPageAndLeastStack;
  }
  return at.whole > kBlock && at.whole <= kMostStatic;
}

// libc's part is where errno is.
int find_libc(dl_phdr_info* info, std::size_t, void*) {
  if (info->dlpi_tls_data == nullptr) return 0;
  const auto* start = static_cast<const char*>(info->dlpi_tls_data);
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_TLS) continue;
    const auto* word = reinterpret_cast<const char*>(&errno);
    if (word < start || word >= start + segment.p_memsz) continue;
    at.libc.lo = start - block_of(pthread_self());
    at.libc.hi = at.libc.lo + static_cast<std::ptrdiff_t>(segment.p_memsz);
    return 1;
  }
  return 0;
}

// Restartable sequences: the kernel knows the address, and writes there. Before 2.41 it lies in the
// thread block, after in the static TLS.
void find_rseq() {
  const auto* offset = static_cast<const std::ptrdiff_t*>(dlsym(RTLD_DEFAULT, "__rseq_offset"));
  if (offset == nullptr || *offset >= 0) return;
  constexpr unsigned kFeatureSize = 27, kLeast = 32;  // AT_RSEQ_FEATURE_SIZE
  unsigned long size = getauxval(kFeatureSize);
  size = size < kLeast ? kLeast : (size + kLeast - 1) & ~(kLeast - 1ul);
  at.rseq = {*offset, *offset + static_cast<std::ptrdiff_t>(size)};
}

// --- the thread block
// ----------------------------------------------------------------------------

bool find_keys() {
  pthread_key_t key;
  if (pthread_key_create(&key, nullptr) != 0) return false;
  const char* block = block_of(pthread_self());
  static_assert(kFirstKeys * kKeyData + kKeyTables * sizeof(void*) < sizeof Fresh::keys);
  static int mark;
  pthread_setspecific(key, &mark);
  const std::size_t value = key < kFirstKeys ? find_word(block, &mark, kBlock) : 0;
  bool found = false;
  if (value > key * kKeyData + 8) {
    at.keys = value - 8 - key * kKeyData;
    at.key_tables = at.keys + kFirstKeys * kKeyData;
    at.keys_used = at.key_tables + kKeyTables * sizeof(void*);
    at.keys_stored = (keys_size() + kWord - 1) & ~(kWord - 1);
    found = at.keys_used < kBlock && read<const char*>(block + at.key_tables) == block + at.keys &&
            read<char>(block + at.keys_used) == 1;
  }
  pthread_setspecific(key, nullptr);
  pthread_key_delete(key);
  return found;
}

bool find_cleanup() {
  std::size_t found = 0;
  pthread_cleanup_push([](void*) {}, nullptr);
#ifndef __EXCEPTIONS
  found = find_word(block_of(pthread_self()), &__cancel_buf, kBlock);
#endif
  pthread_cleanup_pop(0);
  at.cleanup = found;
  return found != 0;
}

bool find_cancel_state() {
  const char* block = block_of(pthread_self());
  char before[kBlock], disabled[kBlock];
  int state;
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
  memcpy(before, block, kBlock);
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  memcpy(disabled, block, kBlock);
  pthread_setcancelstate(state, nullptr);
  int differing = 0;
  for (std::size_t i = 0; i < kBlock; i++) {
    if (before[i] == disabled[i]) continue;
    differing++;
    at.cancel_state = i;
    at.cancel_mask = static_cast<unsigned char>(disabled[i] & ~before[i]);
  }
  return differing == 1 && at.cancel_mask != 0;
}

bool find_locale() {
  locale_t c = newlocale(LC_ALL_MASK, "C", nullptr);  // a constant of libc's: not allocated
  if (c == nullptr) return false;
  locale_t own = uselocale(c);
  const char* block = block_of(pthread_self());
  int found = 0;
  for (std::ptrdiff_t i = (at.libc.lo + 7) & ~7; i + 8 <= at.libc.hi; i += 8) {
    if (read<locale_t>(block + i) != c) continue;
    found++;
    at.locale = i;
  }
  uselocale(own);
  return found == 1;
}

// Without it stacks of detached threads are not used again.
void find_tid() {
  const char* block = block_of(pthread_self());
  const int tid = sys::gettid();
  std::size_t found = 0;
  int count = 0;
  for (std::size_t i = 0; i + sizeof tid <= kBlock; i += sizeof tid) {
    if (read<int>(block + i) != tid) continue;
    found = i;
    count++;
  }
  at.tid = count == 1 ? found : 0;
}

const char* find_everything() {
  if (!kCanResume) return "not for this architecture";
#if defined(__x86_64__)
  const char* block = block_of(pthread_self());
  if (read<const char*>(block) != block || read<const char*>(block + 16) != block)
    return "this libc's thread block is not laid out as known";
  constexpr long kShadowStackStatus = 0x5005;  // ARCH_SHSTK_STATUS, Linux 6.6
  unsigned long features = 0;
  if (sys::call(SYS_arch_prctl, kShadowStackStatus, sys::arg(&features)) == 0 &&
      (features & 1) != 0)
    return "this process has shadow stacks";
#endif
  if (!find_static_size()) return "the size of static thread-local storage is not known";
  real().dl_iterate_phdr(find_libc, nullptr);
  if (at.libc.lo >= 0 || at.libc.lo < -static_cast<std::ptrdiff_t>(at.whole))
    return "libc's thread-local storage was not found";
  find_rseq();
  if (!find_keys()) return "this libc's thread-specific data is not laid out as known";
  if (!find_cleanup()) return "this libc's cleanup handlers are not where they were";
  if (!find_cancel_state()) return "this libc's cancellation state is not where it was";
  if (!find_locale()) return "this libc's locale is not where it was";
  find_tid();
  return nullptr;
}

// The parts of [lo, hi) that are not libc's own: void visit(from, to).
template <class Visit>
void for_each_own(std::ptrdiff_t lo, std::ptrdiff_t hi, Visit&& visit) {
  for (std::ptrdiff_t i = lo; i < hi;) {
    std::ptrdiff_t end = hi;
    for (const Range& skipped : {at.libc, at.rseq}) {
      if (i >= skipped.lo && i < skipped.hi) {
        i = end = skipped.hi < hi ? skipped.hi : hi;
      } else if (i < skipped.lo && skipped.lo < end) {
        end = skipped.lo;
      }
    }
    if (i >= end) continue;
    visit(i, end);
    i = end;
  }
}

// --- an image: this, the values of keys, and static TLS from `used` to the thread block. What lies
// below that is zero: libc keeps some for libraries that are loaded later.

struct Image {
  void* dtv;
  Rest rest;
  std::ptrdiff_t used;
  char* keys() { return reinterpret_cast<char*>(this + 1); }
  char* storage() { return keys() + at.keys_stored; }
};

std::ptrdiff_t first_used(const char* block) {
  std::ptrdiff_t i = -static_cast<std::ptrdiff_t>(at.static_tls);
  while (i < 0 && read<std::uint64_t>(block + i) == 0) i += kWord;
  return i;
}

}  // namespace

bool probe() {
  if (probed) return at.known;
  probed = true;
  problem = find_everything();
  at.known = problem == nullptr;
  // A process whose runtimes are resumed unasked says so when one is not.
  if (!at.known && configuration::asked_to_make_anew()) report_off("resume", problem);
  return at.known;
}

const char* why_unknown() { return problem; }

std::size_t most() { return sizeof(Image) + at.keys_stored + at.whole; }

bool see(pthread_t thread, const char* top) {
  const auto block = static_cast<std::size_t>(top - block_of(thread));
  if (block < kBlock || block >= at.whole) return false;
  at.static_tls = at.whole - block;
  return at.libc.lo >= -static_cast<std::ptrdiff_t>(at.static_tls);
}

const char* static_storage(pthread_t thread, std::size_t& size) {
  size = at.static_tls;
  return block_of(thread) - at.static_tls;
}

std::atomic<int>* tid_word(pthread_t thread) {
  if (at.tid == 0) return nullptr;
  return reinterpret_cast<std::atomic<int>*>(block_of(thread) + at.tid);
}

std::size_t take(pthread_t lost, char* out) {
  const char* block = block_of(lost);
  auto* image = new (out) Image;
  image->dtv = read<void*>(block + kDtv);
  image->rest.cleanup = read<void*>(block + at.cleanup);
  image->rest.locale = read<locale_t>(block + at.locale);
  image->rest.cancel_disabled = (block[at.cancel_state] & at.cancel_mask) != 0;
  image->used = first_used(block);
  memcpy(image->keys(), block + at.keys, keys_size());
  const auto storage = static_cast<std::size_t>(-image->used);
  memcpy(image->storage(), block + image->used, storage);
  return sizeof(Image) + at.keys_stored + storage;
}

void put_back(char* from, Fresh& fresh, Rest& rest) {
  char* block = block_of(pthread_self());
  auto* image = reinterpret_cast<Image*>(from);
  fresh.dtv = read<void*>(block + kDtv);
  memcpy(fresh.keys, block + at.keys, keys_size());
  for_each_own(-static_cast<std::ptrdiff_t>(at.static_tls), image->used,
               [&](std::ptrdiff_t lo, std::ptrdiff_t hi) {
                 memset(block + lo, 0, static_cast<std::size_t>(hi - lo));
               });
  for_each_own(image->used, 0, [&](std::ptrdiff_t lo, std::ptrdiff_t hi) {
    memcpy(block + lo, image->storage() + (lo - image->used), static_cast<std::size_t>(hi - lo));
  });
  write(block + kDtv, image->dtv);
  memcpy(block + at.keys, image->keys(), keys_size());
  rest = image->rest;
}

void take_out(const Fresh& fresh) {
  char* block = block_of(pthread_self());
  write(block + kDtv, fresh.dtv);
  memcpy(block + at.keys, fresh.keys, keys_size());
}

void finish(const Rest& rest) {
  char* block = block_of(pthread_self());
  write(block + at.cleanup, rest.cleanup);
  if (rest.cancel_disabled) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  if (rest.locale != read<locale_t>(block + at.locale)) uselocale(rest.locale);
}

void note_place_of(const void* own) {
  if (own == nullptr || !at.known || noted_count.load(std::memory_order_relaxed) != 0) return;
  const char* block = block_of(pthread_self());
  int count = 0;
  const auto look = [&](std::ptrdiff_t lo, std::ptrdiff_t hi) {
    for (std::ptrdiff_t i = lo; i + 8 <= hi && count < kMostNoted; i += 8) {
      if (read<const void*>(block + i) == own) noted[count++] = i;
    }
  };
  look(-static_cast<std::ptrdiff_t>(at.static_tls), 0);
  look(static_cast<std::ptrdiff_t>(at.keys), static_cast<std::ptrdiff_t>(at.key_tables));
  noted_count.store(count);
}

bool has_noted(pthread_t lost) {
  for (int i = 0; i < noted_count.load(); i++) {
    if (read<const void*>(block_of(lost) + noted[i]) != nullptr) return true;
  }
  return false;
}

}  // namespace forkmend::image
