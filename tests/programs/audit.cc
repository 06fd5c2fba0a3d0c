// An audit library for ld.so (LD_AUDIT): sees every object that is loaded and every symbol that is
// bound, changes none.
#include <link.h>

extern "C" {

unsigned la_version(unsigned version) { return version; }

unsigned la_objopen(link_map*, Lmid_t, uintptr_t*) { return LA_FLG_BINDTO | LA_FLG_BINDFROM; }

uintptr_t la_symbind64(Elf64_Sym* symbol, unsigned, uintptr_t*, uintptr_t*, unsigned*,
                       const char*) {
  return symbol->st_value;
}
}
