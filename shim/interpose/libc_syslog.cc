// The connection to the system's log. Those with an open list of arguments go on to the form that
// takes it as one.
#include <stdarg.h>
#include <syslog.h>

#include "shim/interpose/libc_calls.h"

extern "C" void __vsyslog_chk(int priority, int flag, const char* format, va_list arguments);

FORKMEND_LIBC_CALL(void, openlog, (const char* name, int option, int facility),
                   (name, option, facility))
FORKMEND_LIBC_CALL(void, closelog, (), ())
FORKMEND_LIBC_CALL(int, setlogmask, (int mask), (mask))
FORKMEND_LIBC_CALL(void, vsyslog, (int priority, const char* format, va_list arguments),
                   (priority, format, arguments))
FORKMEND_LIBC_CALL(void, __vsyslog_chk,
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
