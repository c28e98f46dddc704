// ParameterSet: the names and shapes that a transform's state is keyed by.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/status.hpp"

namespace gradstab {

struct Parameter {
  std::string name;
  std::vector<std::int64_t> sizes;
};

/// An ordered list of uniquely named parameters. Gradients are passed to a transform in this order; state is
/// saved under these names, so that a checkpoint survives re-ordering and a mismatch can say which name or
/// shape differs.
class ParameterSet {
 public:
  ParameterSet() = default;

  /// Errors: an empty or repeated name, a negative size, more than 2^60 elements in one tensor.
  GRADSTAB_API static Result<ParameterSet> create(std::vector<Parameter> parameters);

  std::size_t size() const noexcept { return parameters_.size(); }
  const Parameter& operator[](std::size_t index) const noexcept { return parameters_[index]; }
  auto begin() const noexcept { return parameters_.begin(); }
  auto end() const noexcept { return parameters_.end(); }

  /// The position of a name, or -1.
  GRADSTAB_API std::ptrdiff_t find(std::string_view name) const noexcept;

 private:
  std::vector<Parameter> parameters_;
  std::vector<std::size_t> by_name_;  // positions in parameters_, sorted by name
};

/// "[4096, 1024]"
GRADSTAB_API std::string shape_text(const std::vector<std::int64_t>& sizes);

}  // namespace gradstab
