#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "lab/rl/environments/mujoco_module.hpp"

namespace gradstab::lab::rl {
namespace {

namespace fs = std::filesystem;

// Empty where it was not built.
constexpr std::string_view kBuiltModule = GRADSTAB_MUJOCO_MODULE;

Status missing(std::string_view reason) {
  return {
      StatusCode::failed_precondition,
      fmt::format("cannot load MuJoCo: {} (apt-get install libmujoco-dev; nothing but environments needs it)",
                  reason)};
}

Result<const MujocoModule*> load_module() {
  if (kBuiltModule.empty()) return missing("this program was built without it; install it and build again");
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const fs::path built(kBuiltModule);
  const fs::path installed = program.parent_path().parent_path() / "lib" / "gradstab" / built.filename();
  const fs::path& path = fs::exists(installed, ignored) ? installed : built;
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = handle != nullptr ? ::dlsym(handle, kMujocoEntryPoint) : nullptr;
  if (entry == nullptr) {
    const char* reason = ::dlerror();
    return missing(reason != nullptr ? reason : "unknown reason");
  }
  return reinterpret_cast<MujocoEntryPoint>(entry)();
}

}  // namespace

Result<const MujocoModule*> mujoco_module() {
  static const Result<const MujocoModule*> module = load_module();
  return module;
}

}  // namespace gradstab::lab::rl
