/* forkmend: make a thread runtime of your own survive fork.
 *
 * Promises: four calls. Each does nothing when libforkmend.so is not loaded, and the header needs
 * no library to link: it finds the shim at run time. C99 and later, C++ too; glibc.
 *
 * Does not: change a program that runs without the shim.
 *
 *   static forkmend_runtime *rt;
 *   static int respawn(void *pool) { return pool_start(pool); }      // 0, or an errno value
 *   ...
 *   forkmend_callbacks cb = { .size = sizeof cb, .respawn = respawn };
 *   rt = forkmend_register("my-pool", &cb, &pool);                     // before its threads start
 *   forkmend_adopt_lock(rt, FORKMEND_MUTEX, &pool.mutex);              // freshly initialised
 *   forkmend_adopt_lock(rt, FORKMEND_COND, &pool.cond);
 *   in each worker, first:  forkmend_adopt_thread(rt);
 *   in submit, first:       forkmend_enqueue(rt);
 *   at the end:             forkmend_unregister(rt);
 *
 * In a forked child the adopted locks are open again, and the first forkmend_enqueue() calls
 * `respawn`, once: other threads that enqueue meanwhile wait for it.
 */
#ifndef FORKMEND_FORKMEND_H
#define FORKMEND_FORKMEND_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A registered runtime. Opaque but for its first word, which forkmend_enqueue reads. */
typedef struct forkmend_runtime {
  uint32_t lost; /* not 0: its threads did not survive a fork and were not brought back */
} forkmend_runtime;

/* All optional. `user` is what was given to forkmend_register. */
typedef struct forkmend_callbacks {
  size_t size; /* sizeof(forkmend_callbacks), so that it can grow */
  /* In the parent, in the forking thread, before fork waits for the runtime's threads. */
  void (*before_fork)(void* user);
  /* In the child, on entry: stores only. No malloc, no lock, no stdio, no new thread. */
  void (*child)(void* user);
  /* In the child, at the first enqueue, in the thread that enqueues: start the threads again.
   * Returns 0, or an errno value (EAGAIN, ENOMEM): it is called again at the next enqueue. */
  int (*respawn)(void* user);
  /* When the process exits: stop the threads and join them. Called where an exit handler that was
   * registered together with the runtime would run, in a thread of its own, without the GIL; exit
   * waits FORKMEND_EXIT_MS for it and for the threads. Not called in a child that lost them. */
  void (*stop)(void* user);
} forkmend_callbacks;

typedef enum forkmend_lock_kind {
  FORKMEND_MUTEX = 1, /* pthread_mutex_t, std::mutex::native_handle() */
  FORKMEND_COND = 2,  /* pthread_cond_t */
  FORKMEND_RWLOCK = 3,
  FORKMEND_SEM = 4 /* sem_t used as a lock or a counter: gets back the value it had here */
} forkmend_lock_kind;

/* What the shim exports, as one table. Use the functions below. */
typedef struct forkmend_api {
  uint32_t version;
  forkmend_runtime* (*add)(const char* name, const forkmend_callbacks* callbacks, void* user,
                           const void* caller);
  int (*adopt_lock)(forkmend_runtime* runtime, forkmend_lock_kind kind, void* lock);
  int (*adopt_thread)(forkmend_runtime* runtime);
  int (*enqueue)(forkmend_runtime* runtime);
  void (*remove)(forkmend_runtime* runtime);
} forkmend_api;

#define FORKMEND_API_VERSION 1u
#define FORKMEND_API_SYMBOL "forkmend_api_v1"

/* The table, or NULL without the shim. Looked up once; safe from several threads. */
#if defined(__GNUC__)
extern void* forkmend_dlsym(void*, const char*) __asm__("dlsym") __attribute__((weak));
/* Its address, or NULL. A linker takes NULL for granted in a program at a fixed address if it finds
 * no definition (dlsym was in libdl before glibc 2.34), unless the address is asked of the GOT. */
static inline void* (*forkmend_dlsym_address(void))(void*, const char*) {
#if defined(__x86_64__) && defined(__LP64__) && !defined(__PIC__)
  void* (*address)(void*, const char*);
  __asm__(".weak dlsym\n\tmovq dlsym@GOTPCREL(%%rip), %0" : "=r"(address));
  return address;
#else
  return forkmend_dlsym;
#endif
}
static inline const forkmend_api* forkmend_find(void) {
  static const forkmend_api* api;
  static int looked;
  if (!__atomic_load_n(&looked, __ATOMIC_ACQUIRE)) {
    const forkmend_api* found = NULL;
    void* (*const find)(void*, const char*) = forkmend_dlsym_address();
    /* RTLD_DEFAULT is a null pointer; a program without dlsym (static) has no shim either. */
    if (find) found = (const forkmend_api*)find(NULL, FORKMEND_API_SYMBOL);
    __atomic_store_n(&api, found, __ATOMIC_RELEASE);
    __atomic_store_n(&looked, 1, __ATOMIC_RELEASE);
  }
  return __atomic_load_n(&api, __ATOMIC_ACQUIRE);
}
#endif

/* Registers a runtime. Returns NULL without the shim, or when it has no room: every call below
 * takes NULL and does nothing. `name` (copied, 63 bytes) is what reports and FORKMEND_POLICY call
 * it. Call it before the runtime's threads start. Thread-safe. */
static inline forkmend_runtime* forkmend_register(const char* name,
                                                  const forkmend_callbacks* callbacks, void* user) {
  const forkmend_api* api = forkmend_find();
  return api ? api->add(name, callbacks, user, (const void*)(uintptr_t)&forkmend_find) : NULL;
}

/* Adopts a lock right after its initialisation, before another thread uses it: in a child it is put
 * back to the state it has now, unless the forking thread itself holds it (it then goes on holding
 * it). Process-shared ones are refused. Returns 0, EBUSY (held now), EINVAL (process-shared, or the
 * kind is unknown), ENOSPC; 0 without the shim. The lock must live as long as the runtime. */
static inline int forkmend_adopt_lock(forkmend_runtime* runtime, forkmend_lock_kind kind,
                                      void* lock) {
  const forkmend_api* api = runtime ? forkmend_find() : NULL;
  return api ? api->adopt_lock(runtime, kind, lock) : 0;
}

/* The calling thread belongs to the runtime from here on: fork waits until it is blocked or stands
 * at a lock, holding nothing. Call it first in the thread. A fork before that knows nothing of the
 * thread: let whoever starts threads (respawn too) return only when they have called it. Returns 0,
 * or EINVAL for a thread that the shim has not seen start. */
static inline int forkmend_adopt_thread(forkmend_runtime* runtime) {
  const forkmend_api* api = runtime ? forkmend_find() : NULL;
  return api ? api->adopt_thread(runtime) : 0;
}

/* Say this before work is handed to the runtime. One load and one branch when nothing is lost; in a
 * child whose threads are lost the first call brings them back through `respawn`. Returns 0, or
 * what `respawn` returned: the work may be queued all the same, the next call tries again. */
static inline int forkmend_enqueue(forkmend_runtime* runtime) {
  const forkmend_api* api;
  if (!runtime || !__atomic_load_n(&runtime->lost, __ATOMIC_RELAXED)) return 0;
  api = forkmend_find();
  return api ? api->enqueue(runtime) : 0;
}

/* Forgets the runtime, its locks and its threads. Call it when its threads are gone, before the
 * locks are destroyed. */
static inline void forkmend_unregister(forkmend_runtime* runtime) {
  const forkmend_api* api = runtime ? forkmend_find() : NULL;
  if (api) api->remove(runtime);
}

#ifdef __cplusplus
}
#endif

#endif
