#include "lab/support/module.hpp"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

namespace gradstab::lab {

namespace fs = std::filesystem;

Result<void*> module_symbol(std::string_view built, const char* symbol, int flags) {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const fs::path as_built(built);
  const fs::path installed = program.parent_path().parent_path() / "lib" / "gradstab" / as_built.filename();
  const fs::path& path = fs::exists(installed, ignored) ? installed : as_built;
  void* const handle = ::dlopen(path.c_str(), flags);
  void* const address = handle != nullptr ? ::dlsym(handle, symbol) : nullptr;
  if (address != nullptr) return address;
  const char* reason = ::dlerror();
  return Status(StatusCode::failed_precondition, reason != nullptr ? reason : "unknown reason");
}

}  // namespace gradstab::lab
