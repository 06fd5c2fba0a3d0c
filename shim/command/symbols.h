// Names addresses with libdw: function, source line, inlined calls, data symbols.
//
// Promises: names only from files whose build id matches the process's; everywhere else module and
// offset, and no name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "shim/command/module_map.h"
#include "shim/command/unwind.h"

typedef struct Dwfl Dwfl;

namespace forkmend::command {

struct Frame {
  Address ip = 0;        // as unwound
  std::string module;    // path; empty: in no module
  Address offset = 0;    // in the module
  std::string function;  // demangled, with its parameters; empty: unknown
  std::string file;      // empty: unknown
  int line = 0;
  bool inlined = false;
  bool guessed = false;
  bool yours = false;
  bool library = false;  // code of libc, the C++ library, Python or forkmend
};

struct DataSymbol {
  std::string name;    // empty: unknown
  Address offset = 0;  // of the address in the symbol
  std::string module;  // path
  Address in_module = 0;
  std::string section;  // ".bss"
};

class Symbols {
 public:
  explicit Symbols(ModuleMap& modules);
  // Of a live process, by its own map. Throws UserError.
  explicit Symbols(int pid);
  ~Symbols();
  Symbols(const Symbols&) = delete;
  Symbols& operator=(const Symbols&) = delete;

  // The function at `ip` and those inlined into it there, innermost first; never empty. `exact`:
  // ip is the instruction itself; otherwise a call that returns to ip.
  std::vector<Frame> frames(Address ip, bool exact);
  std::vector<Frame> frames(const RawFrame& frame);

  std::optional<DataSymbol> data(Address address);

 private:
  void locate(Address address, std::string& module, Address& offset);

  ModuleMap* modules_ = nullptr;
  Dwfl* dwfl_ = nullptr;
};

std::string demangled(const char* name);

// For people: no parameters, no return type, no long template arguments.
std::string short_function(const std::string& function);

}  // namespace forkmend::command
