// Whether a list of settings names every field of its struct: a field that it leaves out does not compile.
#pragma once

#include <cstddef>
#include <type_traits>

#include "gradstab/options.hpp"

namespace gradstab::detail {

/// Becomes whatever a field needs. Never called.
struct AnyField {
  template <class T>
  operator T() const;  // NOLINT(google-explicit-constructor)
};

/// The fields of an aggregate: how many values its braces take.
template <class Struct, class... Fields>
consteval std::size_t field_count() {
  if constexpr (requires { Struct{Fields{}..., AnyField{}}; }) {
    return field_count<Struct, Fields..., AnyField>();
  } else {
    return sizeof...(Fields);
  }
}

template <HasSettings Options>
consteval std::size_t setting_count() {
  std::size_t count = 0;
  visit_settings(std::type_identity<Options>{}, [&](const Setting&, auto) { ++count; });
  return count;
}

template <class Options>
inline constexpr bool kEveryFieldIsListed = field_count<Options>() == setting_count<Options>();

}  // namespace gradstab::detail
