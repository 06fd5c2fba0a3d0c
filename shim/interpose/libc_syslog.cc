// The connection to the system's log. Those with an open list of arguments go on to the form that
// takes it as one.
#include <stdarg.h>
#include <syslog.h>

#include "shim/interpose/libc_calls.h"

#define FORKMEND_LIBC_LOCK "the connection to the log"

extern "C" void __vsyslog_chk(int priority, int flag, const char* format, va_list arguments);

FORKMEND_LIBC_CALL(int, setlogmask, (int mask), (mask))
#define FORKMEND_ASK_MASK(call) real_setlogmask.get()(0)
FORKMEND_LIBC_CALL_TRIED_BY(FORKMEND_ASK_MASK, void, openlog,
                            (const char* name, int option, int facility), (name, option, facility))
FORKMEND_LIBC_CALL(void, closelog, (), ())
FORKMEND_LIBC_CALL_TRIED_BY(FORKMEND_ASK_MASK, void, vsyslog,
                            (int priority, const char* format, va_list arguments),
                            (priority, format, arguments))
FORKMEND_LIBC_CALL_TRIED_BY(FORKMEND_ASK_MASK, void, __vsyslog_chk,
                            (int priority, int flag, const char* format, va_list arguments),
                            (priority, flag, format, arguments))

FORKMEND_EXPORT void syslog(int priority, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsyslog(priority, format, arguments);
  va_end(arguments);
}

FORKMEND_EXPORT void __syslog_chk(int priority, int flag, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  __vsyslog_chk(priority, flag, format, arguments);
  va_end(arguments);
}
