// Functions that change the environment, and those that register what runs at exit: exit itself
// takes their lock, in the child as well.
#include <stdlib.h>

#include "shim/interpose/libc_calls.h"

#define FORKMEND_LIBC_LOCK "the environment"

FORKMEND_LIBC_CALL(int, setenv, (const char* name, const char* value, int overwrite),
                   (name, value, overwrite))
FORKMEND_LIBC_CALL(int, unsetenv, (const char* name), (name))
FORKMEND_LIBC_CALL(int, putenv, (char* entry), (entry))
FORKMEND_LIBC_CALL(int, clearenv, (), ())

#undef FORKMEND_LIBC_LOCK
#define FORKMEND_LIBC_LOCK "what runs at exit"
FORKMEND_LIBC_CALL(int, __cxa_atexit, (void (*function)(void*), void* argument, void* dso),
                   (function, argument, dso))
FORKMEND_LIBC_CALL(int, __cxa_at_quick_exit, (void (*function)(void*), void* dso), (function, dso))
FORKMEND_LIBC_CALL(int, on_exit, (void (*function)(int, void*), void* argument),
                   (function, argument))
