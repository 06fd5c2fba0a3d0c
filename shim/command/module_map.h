// The modules that were loaded in the process of an event, and their files as they are today.
//
// Promises: a file is used only if its build id is the one that the process had loaded; what does
// not match is said by `state`, and nothing is read from it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "shim/command/elf_image.h"
#include "shim/command/event.h"

namespace forkmend::command {

struct Module {
  enum class State { unopened, usable, changed, missing };

  LoadedModule loaded;
  std::string host_path;  // where the file is for us: below --sysroot
  State state = State::unopened;
  std::string why;  // for missing: the reason
  std::unique_ptr<ElfImage> image;

  std::string name() const;  // the file's name without directories
};

class ModuleMap {
 public:
  // `sysroot` is put before each path: the root of the container that the process ran in.
  ModuleMap(const std::vector<LoadedModule>& loaded, const std::string& sysroot);

  // The module that contains `address`, its file opened and checked; null if there is none.
  Module* at(Address address);

  // Reads what the process had at `address`, from the file of the module.
  bool read(Address address, void* out, std::size_t size);

  std::vector<Module>& modules() { return modules_; }

 private:
  void open(Module& module);

  std::vector<Module> modules_;  // by address
};

}  // namespace forkmend::command
