// Structs that begin with `struct_size`: read and written across versions of the library.
//
// The caller's struct may be older (shorter) or newer (longer) than this library's. What an older one lacks
// is 0 here, which means what the library did before the field was there. What a newer one has beyond must be
// 0 for the same reason.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "gradstab/optimizer.h"
#include "gradstab/recorder.h"
#include "gradstab/status.hpp"
#include "text.hpp"

namespace gradstab::c {

/// No struct will ever be larger: such a size was never set.
inline constexpr std::size_t kLargestStruct = 1024;

/// A struct of the C interface: its name, and its size when it first was published. Those of optimizers are
/// in optimizer_structs.hpp.
template <class T>
struct StructTraits;

#define GRADSTAB_C_STRUCT(type, published_size)               \
  template <>                                                 \
  struct StructTraits<type> {                                 \
    static constexpr std::string_view name = #type;           \
    static constexpr std::size_t first_size = published_size; \
  }
GRADSTAB_C_STRUCT(gradstab_stabilizer_options, sizeof(gradstab_stabilizer_options));
GRADSTAB_C_STRUCT(gradstab_units, sizeof(gradstab_units));
GRADSTAB_C_STRUCT(gradstab_run_options, sizeof(gradstab_run_options));
GRADSTAB_C_STRUCT(gradstab_setting_description, sizeof(gradstab_setting_description));
GRADSTAB_C_STRUCT(gradstab_norm_method, sizeof(gradstab_norm_method));
GRADSTAB_C_STRUCT(gradstab_step_report, sizeof(gradstab_step_report));
GRADSTAB_C_STRUCT(gradstab_recorder_options, sizeof(gradstab_recorder_options));
GRADSTAB_C_STRUCT(gradstab_optimizer_run_options, sizeof(gradstab_optimizer_run_options));
#undef GRADSTAB_C_STRUCT

/// What the struct begins with.
template <class T>
std::size_t struct_size_of(const T* given) noexcept {
  std::size_t size = 0;
  std::memcpy(&size, given, sizeof size);
  return size;
}

template <class T>
Status check_struct_size(std::size_t size) {
  if (size >= StructTraits<T>::first_size && size <= kLargestStruct) return {};
  const std::string_view name = StructTraits<T>::name;
  return invalid("struct_size of ", name, " is ", size, ", expected sizeof(", name, ") = ", sizeof(T));
}

/// Copies what the caller gave into a struct of this library's size.
template <class T>
Status read_struct(const T* given, T& result) {
  result = {};
  const std::size_t size = struct_size_of(given);
  GRADSTAB_RETURN_IF_ERROR(check_struct_size<T>(size));
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (size > sizeof(T) &&
      std::any_of(bytes + sizeof(T), bytes + size, [](unsigned char byte) { return byte != 0; })) {
    return error(StatusCode::unsupported, StructTraits<T>::name, " has a field set that version ",
                 gradstab_version_string(), " of this library does not know");
  }
  std::memcpy(&result, given, std::min(size, sizeof(T)));
  return {};
}

/// Fills the caller's struct, whose size was checked, from one of this library's; `struct_size` stays.
template <class T>
void write_struct(const T& value, std::size_t size, T* given) noexcept {
  auto* bytes = reinterpret_cast<unsigned char*>(given);
  std::memcpy(bytes, &value, std::min(size, sizeof(T)));
  if (size > sizeof(T)) std::memset(bytes + sizeof(T), 0, size - sizeof(T));
  std::memcpy(bytes, &size, sizeof size);
}

}  // namespace gradstab::c
