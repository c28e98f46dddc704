// What an optimizer keeps of one parameter, and how a block's arrays are found.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/zeroed_array.hpp"
#include "core/optimizer/optimizer_rule.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {

/// State of one parameter. Arrays are in the memory order of the parameter.
struct ParameterMemory {  // NOLINT(bugprone-reserved-identifier): the compiler's own, to copy arrays
  std::optional<ParameterStorage> storage;  ///< empty before the first step
  std::int64_t step = 0;                    ///< steps in which there was a gradient
  ZeroedArray states[kMaxStates];
  ZeroedArray master;
  std::vector<double> unit_second;  ///< Adam-mini: per unit

  std::size_t element_bytes() const noexcept { return storage == ParameterStorage::float64 ? 8 : 4; }
};

/// Allocates the arrays of a parameter that is stored like this, all zero; the master copy is filled from the
/// parameter where one is given.
void allocate(ParameterMemory& memory, const ParameterRule& rule, ParameterStorage storage, std::size_t count,
              const void* parameter);

/// The parameter and its gradient in one step.
struct UpdateTarget {
  std::byte* parameter = nullptr;
  std::size_t parameter_bytes = 0;  ///< of one element
  ParameterStorage storage = ParameterStorage::float32;
  bool begun = false;       ///< counted as stepped, until the step is done
  bool first_step = false;  ///< its state is allocated in this step
  bool same_order = true;   ///< gradient and parameter have the same order of elements in memory
  // Otherwise the gradient's strides, with its dimensions in the memory order of the parameter.
  std::int64_t rank = 0;
  std::int64_t sizes[16] = {};
  std::int64_t strides[16] = {};
};

/// Errors: not float32, float64 or bfloat16, not dense, a dtype that does not go with the gradient's, another
/// shape, another dtype than in earlier steps. `pieces` above 1 asks for a contiguous parameter.
Result<UpdateTarget> update_target(const Parameter& registered, const TensorRef& parameter,
                                   const TensorRef& gradient, std::size_t pieces);

/// "float32", "bfloat16 with a master copy", ...
std::string_view describe(ParameterStorage storage) noexcept;

/// How a parameter of this dtype is stored.
ParameterStorage storage_of(DType dtype, LowPrecision low_precision) noexcept;

/// Copies elements [begin, begin + count) of the gradient, counted in the memory order of the parameter.
void gather(const UpdateTarget& target, const std::byte* gradient, std::size_t element_bytes,
            std::int64_t begin, std::size_t count, std::byte* out) noexcept;

}  // namespace gradstab
