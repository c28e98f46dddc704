// Saving and loading, in memory and in files.
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <vector>

#include "errors.hpp"
#include "files/file.hpp"
#include "gradstab/gradstab.h"
#include "handle.hpp"

using namespace gradstab;

namespace {

template <class Object>
gradstab_status save(const Object* object, const char* function, void** bytes, size_t* size) noexcept {
  if (bytes != nullptr) *bytes = nullptr;
  if (size != nullptr) *size = 0;
  return c::run_on(object, [&]() -> Status {
    if (bytes == nullptr) return c::null_argument("bytes", "a void*");
    if (size == nullptr) return c::null_argument("size", "a size_t");
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    const auto state = object->object.save();
    if (!state) return state.status();
    void* memory = std::malloc(state->size());  // freed by gradstab_free
    if (memory == nullptr) throw std::bad_alloc();
    std::memcpy(memory, state->data(), state->size());
    *bytes = memory;
    *size = state->size();
    return {};
  });
}

template <class Object>
gradstab_status load(Object* object, const char* function, const void* bytes, size_t size) noexcept {
  return c::run_on(object, [&]() -> Status {
    if (bytes == nullptr) return c::null_argument("bytes", "a saved state");
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    return object->object.load({static_cast<const std::byte*>(bytes), size});
  });
}

template <class Object>
gradstab_status save_file(const Object* object, const char* function, const char* path) noexcept {
  return c::run_on(object, [&]() -> Status {
    if (path == nullptr) return c::null_argument("path", "the name of a file");
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    const auto state = object->object.save();
    if (!state) return state.status();
    return files::replace_file(path, *state);
  });
}

template <class Object>
gradstab_status load_file(Object* object, const char* function, const char* path) noexcept {
  return c::run_on(object, [&]() -> Status {
    if (path == nullptr) return c::null_argument("path", "the name of a file");
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    const auto bytes = files::read_file(path);
    if (!bytes) return bytes.status();
    Status status = object->object.load(*bytes);
    if (status.ok()) return status;
    return c::error(status.code(), "'", path, "': ", status.message());
  });
}

}  // namespace

gradstab_status gradstab_save(const gradstab_transform* transform, void** bytes, size_t* size) {
  return save(transform, "gradstab_save", bytes, size);
}

gradstab_status gradstab_load(gradstab_transform* transform, const void* bytes, size_t size) {
  return load(transform, "gradstab_load", bytes, size);
}

gradstab_status gradstab_save_file(const gradstab_transform* transform, const char* path) {
  return save_file(transform, "gradstab_save_file", path);
}

gradstab_status gradstab_load_file(gradstab_transform* transform, const char* path) {
  return load_file(transform, "gradstab_load_file", path);
}

gradstab_status gradstab_optimizer_save(const gradstab_optimizer* optimizer, void** bytes, size_t* size) {
  return save(optimizer, "gradstab_optimizer_save", bytes, size);
}

gradstab_status gradstab_optimizer_load(gradstab_optimizer* optimizer, const void* bytes, size_t size) {
  return load(optimizer, "gradstab_optimizer_load", bytes, size);
}

gradstab_status gradstab_optimizer_save_file(const gradstab_optimizer* optimizer, const char* path) {
  return save_file(optimizer, "gradstab_optimizer_save_file", path);
}

gradstab_status gradstab_optimizer_load_file(gradstab_optimizer* optimizer, const char* path) {
  return load_file(optimizer, "gradstab_optimizer_load_file", path);
}
