#include "shim/runtimes/interpreters.h"

#include "shim/reviving/go.h"
#include "shim/runtimes/dynamic.h"

namespace forkmend::interpreters {
namespace {

// What each exports in every version that can be met, from its documented interface.
constexpr const char* kExported[] = {
    "Py_InitializeEx",       // CPython, in libpython or in the executable
    "PyPy_Initialize",       // PyPy: libpypy-c
    "ruby_init",             // Ruby
    "perl_construct",        // Perl
    "boot_threads",          // Perl: threads.so, which creates its threads
    "JNI_CreateJavaVM",      // a Java virtual machine
    "napi_create_function",  // Node.js, and what embeds it
    "v8_inspector_init",     // V8 in a library of its own
    "zend_startup",          // PHP
    "Rf_initEmbeddedR",      // R
    "scm_boot_guile",        // Guile
    "Tcl_CreateInterp",      // Tcl
    "enif_send",             // Erlang
    "coreclr_initialize",    // .NET
    "mono_jit_init",         // Mono
    "lua_newstate",          // Lua
    "caml_startup",          // OCaml
    "hs_init",               // Haskell
    "jl_init",               // Julia
    "GC_init",               // Boehm's collector, and what is linked with it
    "octave_main",           // Octave
};

}  // namespace

bool is_one(const modules::Module& module) {
  const dynamic::Image image(module);
  if (!image.readable()) return false;
  for (const char* name : kExported) {
    if (image.find(name) != nullptr) return true;
  }
  return go::is_go(module);
}

}  // namespace forkmend::interpreters
