// Whether a tensor's elements share memory.
#pragma once

#include "gradstab/export.hpp"
#include "gradstab/tensor_ref.hpp"

namespace gradstab {

/// Whether two elements are the same memory (for example by a stride of 0), as far as strides tell. Such a
/// tensor can be read and not be written.
GRADSTAB_API bool overlaps_itself(const TensorRef& tensor) noexcept;

}  // namespace gradstab
