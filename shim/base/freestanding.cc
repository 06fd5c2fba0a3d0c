// What headers of libstdc++ and fmt refer to and this object never reaches.
//
// The shared object needs libc alone: no libstdc++, neither linked nor inside,
// since even its static form brings a constructor that allocates. Formatting goes into fixed
// buffers, so nothing here is ever called; if it were, a trap with the name on the stack beats a
// silent wrong.
#include <bits/functexcept.h>

#include <cstddef>
#include <exception>
#include <new>

void* operator new(std::size_t) { __builtin_trap(); }
void operator delete(void*) noexcept { __builtin_trap(); }
void operator delete(void*, std::size_t) noexcept { __builtin_trap(); }

namespace std {

void terminate() noexcept { __builtin_trap(); }
void __throw_bad_alloc() { __builtin_trap(); }
void __throw_bad_array_new_length() { __builtin_trap(); }
void __throw_out_of_range_fmt(const char*, ...) { __builtin_trap(); }
void __throw_length_error(const char*) { __builtin_trap(); }
void __throw_logic_error(const char*) { __builtin_trap(); }

}  // namespace std
