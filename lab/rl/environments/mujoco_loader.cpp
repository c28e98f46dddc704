#include <dlfcn.h>
#include <fmt/format.h>

#include <string_view>

#include "lab/rl/environments/mujoco_module.hpp"
#include "lab/support/module.hpp"

namespace gradstab::lab::rl {
namespace {

// Empty where it was not built.
constexpr std::string_view kBuiltModule = GRADSTAB_MUJOCO_MODULE;

Status missing(std::string_view reason) {
  return {StatusCode::failed_precondition,
          fmt::format("cannot load MuJoCo: {} (apt-get install libmujoco-dev; only the environments need it)",
                      reason)};
}

Result<const MujocoModule*> load_module() {
  if (kBuiltModule.empty()) return missing("this program was built without it; install it and build again");
  const auto entry = module_symbol(kBuiltModule, kMujocoEntryPoint, RTLD_NOW | RTLD_LOCAL);
  if (!entry) return missing(entry.status().message());
  return reinterpret_cast<MujocoEntryPoint>(*entry)();
}

}  // namespace

Result<const MujocoModule*> mujoco_module() {
  static const Result<const MujocoModule*> module = load_module();
  return module;
}

}  // namespace gradstab::lab::rl
