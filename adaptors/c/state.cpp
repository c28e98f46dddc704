// Saving and loading, in memory and in files.
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <vector>

#include "errors.hpp"
#include "file.hpp"
#include "gradstab/gradstab.h"
#include "handle.hpp"

using namespace gradstab;

gradstab_status gradstab_save(const gradstab_transform* transform, void** bytes, size_t* size) {
  if (bytes != nullptr) *bytes = nullptr;
  if (size != nullptr) *size = 0;
  return c::run_on(transform, [&]() -> Status {
    if (bytes == nullptr) return c::null_argument("bytes", "a void*");
    if (size == nullptr) return c::null_argument("size", "a size_t");
    if (!transform->ready) return c::not_initialised("gradstab_save");
    const auto state = transform->transform.save();
    if (!state) return state.status();
    void* memory = std::malloc(state->size());  // freed by gradstab_free
    if (memory == nullptr) throw std::bad_alloc();
    std::memcpy(memory, state->data(), state->size());
    *bytes = memory;
    *size = state->size();
    return {};
  });
}

gradstab_status gradstab_load(gradstab_transform* transform, const void* bytes, size_t size) {
  return c::run_on(transform, [&]() -> Status {
    if (bytes == nullptr) return c::null_argument("bytes", "a saved state");
    if (!transform->ready) return c::not_initialised("gradstab_load");
    return transform->transform.load({static_cast<const std::byte*>(bytes), size});
  });
}

gradstab_status gradstab_save_file(const gradstab_transform* transform, const char* path) {
  return c::run_on(transform, [&]() -> Status {
    if (path == nullptr) return c::null_argument("path", "the name of a file");
    if (!transform->ready) return c::not_initialised("gradstab_save_file");
    const auto state = transform->transform.save();
    if (!state) return state.status();
    return c::replace_file(path, *state);
  });
}

gradstab_status gradstab_load_file(gradstab_transform* transform, const char* path) {
  return c::run_on(transform, [&]() -> Status {
    if (path == nullptr) return c::null_argument("path", "the name of a file");
    if (!transform->ready) return c::not_initialised("gradstab_load_file");
    const auto bytes = c::read_file(path);
    if (!bytes) return bytes.status();
    Status status = transform->transform.load(*bytes);
    if (status.ok()) return status;
    return c::error(status.code(), "'", path, "': ", status.message());
  });
}
