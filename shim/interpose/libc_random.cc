// What replaces the state of the random numbers that all threads share. random() and rand() are not
// here: see locks/random.h.
#include <stdlib.h>

#include "shim/interpose/libc_calls.h"

#define FORKMEND_LIBC_LOCK "the random numbers"

FORKMEND_LIBC_CALL(void, srandom, (unsigned seed), (seed))
FORKMEND_LIBC_CALL(void, srand, (unsigned seed), (seed))
FORKMEND_LIBC_CALL(char*, initstate, (unsigned seed, char* state, size_t size), (seed, state, size))
FORKMEND_LIBC_CALL(char*, setstate, (char* state), (state))
