#include "shim/command/module_map.h"

#include <algorithm>
#include <utility>

namespace forkmend::command {

std::string Module::name() const {
  const auto slash = loaded.path.rfind('/');
  return slash == std::string::npos ? loaded.path : loaded.path.substr(slash + 1);
}

ModuleMap::ModuleMap(const std::vector<LoadedModule>& loaded, const std::string& sysroot) {
  for (const LoadedModule& one : loaded) {
    if (one.hi <= one.lo) continue;
    Module module;
    module.loaded = one;
    module.host_path = sysroot + one.path;
    modules_.push_back(std::move(module));
  }
  std::sort(modules_.begin(), modules_.end(),
            [](const Module& a, const Module& b) { return a.loaded.lo < b.loaded.lo; });
}

Module* ModuleMap::at(Address address) {
  const auto next = std::upper_bound(
      modules_.begin(), modules_.end(), address,
      [](Address wanted, const Module& module) { return wanted < module.loaded.lo; });
  if (next == modules_.begin()) return nullptr;
  Module& module = *std::prev(next);
  if (address >= module.loaded.hi) return nullptr;
  if (module.state == Module::State::unopened) open(module);
  return &module;
}

void ModuleMap::open(Module& module) {
  // "[vdso]" and the like have no file; a relative path would be looked up in our directory.
  if (module.loaded.path.empty() || module.loaded.path.front() != '/') {
    module.state = Module::State::missing;
    module.why = "it has no file";
    return;
  }
  module.image = ElfImage::open(module.host_path, module.why);
  if (module.image == nullptr) {
    module.state = Module::State::missing;
    return;
  }
  const bool same =
      module.loaded.build_id.empty() || module.loaded.build_id == module.image->build_id();
  module.state = same ? Module::State::usable : Module::State::changed;
  if (!same) module.image.reset();
}

bool ModuleMap::read(Address address, void* out, std::size_t size) {
  const Module* const module = at(address);
  return module != nullptr && module->state == Module::State::usable &&
         module->image->read(address - module->loaded.bias, out, size);
}

}  // namespace forkmend::command
