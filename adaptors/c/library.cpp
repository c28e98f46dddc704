// What belongs to no transform: version, backends, memory.
#include <cstdlib>
#include <string>
#include <vector>

#include "errors.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/export.hpp"
#include "gradstab/gradstab.h"

using namespace gradstab;

namespace {

/// C wants names that end in a zero.
const std::vector<std::string>& backend_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Backend* backend : backends()) list.emplace_back(backend->name());
    return list;
  }();
  return names;
}

}  // namespace

const char* gradstab_version_string(void) {
  return GRADSTAB_VERSION;
}

int32_t gradstab_abi_version(void) {
  return GRADSTAB_ABI_VERSION;
}

void gradstab_free(void* memory) {
  std::free(memory);
}

size_t gradstab_backend_count(void) {
  return backends().size();
}

gradstab_status gradstab_backend_info(size_t index, const char** name, int32_t* supported) {
  return c::run([&]() -> Status {
    if (name == nullptr) return c::null_argument("name", "a const char*");
    *name = nullptr;
    const std::size_t count = backends().size();
    if (index >= count) {
      return c::invalid("there is no backend ", index, "; this library has ", count);
    }
    *name = backend_names()[index].c_str();
    if (supported != nullptr) *supported = backends()[index]->supported() ? 1 : 0;
    return {};
  });
}
