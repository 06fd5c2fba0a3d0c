// Functions that take the lock of the time zone: all that convert a time, in UTC as well.
#include <time.h>
#include <wchar.h>

#include "shim/interpose/libc_calls.h"

#define FORKMEND_LIBC_LOCK "the time zone"

FORKMEND_LIBC_CALL(tm*, localtime, (const time_t* time), (time))
FORKMEND_LIBC_CALL(tm*, localtime_r, (const time_t* time, tm* into), (time, into))
FORKMEND_LIBC_CALL(tm*, gmtime, (const time_t* time), (time))
FORKMEND_LIBC_CALL(tm*, gmtime_r, (const time_t* time, tm* into), (time, into))
FORKMEND_LIBC_CALL(char*, ctime, (const time_t* time), (time))
FORKMEND_LIBC_CALL(char*, ctime_r, (const time_t* time, char* into), (time, into))
FORKMEND_LIBC_CALL(time_t, mktime, (tm * time), (time))
FORKMEND_LIBC_CALL(time_t, timelocal, (tm * time), (time))
FORKMEND_LIBC_CALL(time_t, timegm, (tm * time), (time))
FORKMEND_LIBC_CALL(void, tzset, (), ())
FORKMEND_LIBC_CALL(tm*, getdate, (const char* text), (text))
FORKMEND_LIBC_CALL(int, getdate_r, (const char* text, tm* into), (text, into))
FORKMEND_LIBC_CALL(size_t, strftime, (char* into, size_t size, const char* format, const tm* time),
                   (into, size, format, time))
FORKMEND_LIBC_CALL(size_t, strftime_l,
                   (char* into, size_t size, const char* format, const tm* time, locale_t locale),
                   (into, size, format, time, locale))
FORKMEND_LIBC_CALL(size_t, wcsftime,
                   (wchar_t * into, size_t size, const wchar_t* format, const tm* time),
                   (into, size, format, time))
FORKMEND_LIBC_CALL(size_t, wcsftime_l,
                   (wchar_t * into, size_t size, const wchar_t* format, const tm* time,
                    locale_t locale),
                   (into, size, format, time, locale))
