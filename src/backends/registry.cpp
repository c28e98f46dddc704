#include <cstdlib>

#include "backends/backend_list.hpp"
#include "core/base/text.hpp"
#include "gradstab/backend.hpp"

namespace gradstab {

Result<const Backend*> find_backend(std::string_view name) {
  if (name.empty()) {
    // Read when a transform is initialised, which programs do before they start threads that change the
    // environment.
    const char* forced = std::getenv("GRADSTAB_BACKEND");  // NOLINT(concurrency-mt-unsafe)
    if (forced != nullptr && *forced != '\0') return find_backend(forced);
    const Backend* best = nullptr;
    for (const Backend* backend : backends()) best = backend->supported() ? backend : best;
    return best;
  }
  std::string known;
  for (const Backend* backend : backends()) {
    if (backend->name() == name) {
      if (backend->supported()) return backend;
      return Status(StatusCode::unsupported,
                    detail::concat("backend '", name, "' cannot run on this machine"));
    }
    known += detail::concat(known.empty() ? "" : ", ", backend->name());
  }
  return Status(StatusCode::invalid_argument,
                detail::concat("unknown backend '", name, "'; known are ", known));
}

}  // namespace gradstab
