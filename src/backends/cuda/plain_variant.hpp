// One of several plain structs, and which: what std::variant is where a device reads it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "backends/cuda/elements.hpp"

namespace gradstab::device {

template <class... Ts>
class PlainVariant {
 public:
  static_assert((std::is_trivially_copyable_v<Ts> && ...), "a device gets the bytes");

  /// The first, with its defaults.
  PlainVariant() : PlainVariant(First()) {}

  template <class T>
  explicit PlainVariant(const T& value) : which_(kIndexOf<T>) {
    std::memcpy(bytes_, &value, sizeof value);
  }

  /// Of whoever knows that it is a T. Where it is not, the kernel ends with an error.
  template <class T>
  GRADSTAB_DEVICE_INLINE const T& get() const {
    if (which_ != kIndexOf<T>) refused_by_the_host();
    return *reinterpret_cast<const T*>(bytes_);
  }

  /// body(the struct).
  template <class Body>
  GRADSTAB_DEVICE_INLINE decltype(auto) visit(Body body) const {
    return visit_from<0>(body);
  }

 private:
  template <std::size_t kIndex>
  using At = std::tuple_element_t<kIndex, std::tuple<Ts...>>;
  using First = At<0>;

  template <class T>
  static constexpr std::size_t index_of() {
    static_assert((std::is_same_v<T, Ts> || ...), "none of these structs");
    std::size_t index = 0;
    static_cast<void>(((std::is_same_v<T, Ts> || (++index, false)) || ...));
    return index;
  }
  template <class T>
  static constexpr std::size_t kIndexOf = index_of<T>();

  template <std::size_t kIndex, class Body>
  GRADSTAB_DEVICE_INLINE decltype(auto) visit_from(Body& body) const {
    if constexpr (kIndex + 1 < sizeof...(Ts)) {
      if (which_ != kIndex) return visit_from<kIndex + 1>(body);
    }
    return body(get<At<kIndex>>());
  }

  std::size_t which_;
  alignas(Ts...) unsigned char bytes_[std::max({sizeof(Ts)...})] = {};
};

}  // namespace gradstab::device
