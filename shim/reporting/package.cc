#include "shim/reporting/package.h"

#include "shim/base/directory.h"
#include "shim/base/glob.h"
#include "shim/base/syscall.h"

namespace forkmend::package {
namespace {

// The version in "PACKAGE-VERSION.dist-info", empty if the name is another one's.
std::string_view version_in(std::string_view name, std::string_view package) {
  constexpr std::string_view kSuffix = ".dist-info";
  if (name.size() <= package.size() + kSuffix.size() + 1) return {};
  if (name.substr(0, package.size()) != package || name[package.size()] != '-') return {};
  if (name.substr(name.size() - kSuffix.size()) != kSuffix) return {};
  name.remove_prefix(package.size() + 1);
  return name.substr(0, name.size() - kSuffix.size());
}

}  // namespace

void version_of(std::string_view dso_path, TextSpan& out) {
  const std::size_t file = dso_path.rfind('/');
  if (file == std::string_view::npos) return;
  const std::string_view folder = dso_path.substr(0, file);
  const std::size_t up = folder.rfind('/');
  if (up == std::string_view::npos) return;
  const std::string_view package = folder.substr(up + 1);
  Text<512> site;
  site.append(folder.substr(0, up)).append('\0');
  const long fd = sys::open(site.data(), O_RDONLY | O_DIRECTORY);
  if (fd < 0) return;
  sys::for_each_entry(static_cast<int>(fd), [&](const char* name) {
    const std::string_view version = version_in(name, package);
    out.append(version);
    return version.empty();
  });
  sys::close(static_cast<int>(fd));
}

bool listed(std::string_view versions, std::string_view version) {
  bool found = false;
  for_each_item(versions, [&](std::string_view item) { found = found || item == version; });
  return found;
}

}  // namespace forkmend::package
