// What of a thread lies outside of its stack: its thread-local storage, its dynamic-TLS vector, its
// values of pthread keys, its cleanup handlers, its cancellation state, its locale.
//
// The one place that knows libc's thread block. Everything is found by probing with
// a thread's own values; the offsets held from glibc 2.31 to 2.43.
// Promises: take() reads the block of a lost thread whose stack is intact; put_back() writes it to
// the calling thread, made anew at the same address, but for what belongs to libc itself (its own
// TLS: errno, malloc's cache; rseq), which libc has just made anew. Does not: keep the type of
// cancellation, a CPU affinity, an alternate signal stack.
#pragma once

#include <locale.h>
#include <pthread.h>

#include <atomic>
#include <cstddef>

namespace forkmend::image {

// Finds out where things are; once, in the first ancestor. False if something is not where it can
// be told: then resume is off, with one line in the report where somebody asked for it.
bool probe();
// Why it is off, or null.
const char* why_unknown();

// A lost thread's block and the top of its stack, which tell the size of what lies between. False
// if they cannot belong together. Called before take().
bool see(pthread_t lost, const char* top);

// The most bytes that an image takes.
std::size_t most();

// The static thread-local storage of a thread with a stack of the shim's own or of the calling
// process's first thread: from the block's lowest byte, of this size, up to the block.
const char* static_storage(pthread_t thread, std::size_t& size);

// Libc's word with the thread's id, which the kernel clears when it has left the thread's memory;
// null where it is not known.
std::atomic<int>* tid_word(pthread_t thread);

// Copies a lost thread's aside. Returns the bytes it took, a multiple of 8.
std::size_t take(pthread_t lost, char* out);

// What libc made anew for a thread, so that it can still end if its runtime is not revived.
struct Fresh {
  void* dtv;
  char keys[1024];  // values of keys, tables of further ones, whether any is used
};

// What of an image is put back last: cleanup handlers, cancellation, locale.
struct Rest {
  void* cleanup;
  locale_t locale;
  bool cancel_disabled;
};

// In the thread that was made anew: puts its storage and its keys back, after which the image is
// not needed any more. Writes the shim's own thread-local variables too, so the caller must not
// keep any.
void put_back(char* image, Fresh& fresh, Rest& rest);
// Undoes it, as far as libc needs to end the thread.
void take_out(const Fresh& fresh);
// When it is certain that the thread goes on and its trampoline has its cleanup handler in place.
void finish(const Rest& rest);

// Notes where the calling thread keeps `own` (its Python thread state): under which pthread key, or
// in which thread-local variable. Idempotent.
void note_place_of(const void* own);
// True if the lost thread has something in a place that was noted.
bool has_noted(pthread_t lost);

}  // namespace forkmend::image
