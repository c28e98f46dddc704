// Gradients are changed in place, so read-only memory is no gradient.
#include <vector>

#include "gradstab/gradstab.hpp"

int main() {
#ifdef GRADSTAB_MUST_NOT_COMPILE
  const std::vector<float> memory(4);
#else
  std::vector<float> memory(4);
#endif
  const std::vector<std::int64_t> sizes = {4};
  const gradstab::TensorRef gradient{
      .data = memory.data(), .dtype = gradstab::DType::float32, .sizes = sizes, .strides = {}};
  return gradient.data == nullptr ? 1 : 0;
}
