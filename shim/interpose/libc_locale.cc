// Locales, translations and conversions between character sets. libstdc++ calls the names with
// underscores.
#include <iconv.h>
#include <libintl.h>
#include <locale.h>

#include "shim/interpose/libc_calls.h"

#define FORKMEND_LIBC_LOCK "locales"

FORKMEND_LIBC_CALL(char*, setlocale, (int category, const char* name), (category, name))
FORKMEND_LIBC_CALL(locale_t, newlocale, (int mask, const char* name, locale_t base),
                   (mask, name, base))
FORKMEND_LIBC_CALL(locale_t, __newlocale, (int mask, const char* name, locale_t base),
                   (mask, name, base))
FORKMEND_LIBC_CALL(locale_t, duplocale, (locale_t locale), (locale))
FORKMEND_LIBC_CALL(locale_t, __duplocale, (locale_t locale), (locale))
FORKMEND_LIBC_CALL(void, freelocale, (locale_t locale), (locale))
FORKMEND_LIBC_CALL(void, __freelocale, (locale_t locale), (locale))

#undef FORKMEND_LIBC_LOCK
#define FORKMEND_LIBC_LOCK "translations"
FORKMEND_LIBC_CALL(char*, gettext, (const char* text), (text))
FORKMEND_LIBC_CALL(char*, dgettext, (const char* domain, const char* text), (domain, text))
FORKMEND_LIBC_CALL(char*, __dgettext, (const char* domain, const char* text), (domain, text))
FORKMEND_LIBC_CALL(char*, dcgettext, (const char* domain, const char* text, int category),
                   (domain, text, category))
FORKMEND_LIBC_CALL(char*, __dcgettext, (const char* domain, const char* text, int category),
                   (domain, text, category))
FORKMEND_LIBC_CALL(char*, ngettext, (const char* one, const char* many, unsigned long count),
                   (one, many, count))
FORKMEND_LIBC_CALL(char*, dngettext,
                   (const char* domain, const char* one, const char* many, unsigned long count),
                   (domain, one, many, count))
FORKMEND_LIBC_CALL(char*, dcngettext,
                   (const char* domain, const char* one, const char* many, unsigned long count,
                    int category),
                   (domain, one, many, count, category))
FORKMEND_LIBC_CALL(char*, textdomain, (const char* domain), (domain))
FORKMEND_LIBC_CALL(char*, bindtextdomain, (const char* domain, const char* directory),
                   (domain, directory))
FORKMEND_LIBC_CALL(char*, bind_textdomain_codeset, (const char* domain, const char* codeset),
                   (domain, codeset))

#undef FORKMEND_LIBC_LOCK
#define FORKMEND_LIBC_LOCK "conversions between character sets"
FORKMEND_LIBC_CALL(iconv_t, iconv_open, (const char* to, const char* from), (to, from))
FORKMEND_LIBC_CALL(int, iconv_close, (iconv_t conversion), (conversion))
