#include "lab/train/weights_checksum.hpp"

#include <fmt/format.h>
#include <zlib.h>

namespace gradstab::lab {

std::string weights_checksum(const torch::nn::Module& model) {
  uLong sum = crc32_z(0, nullptr, 0);
  const auto add = [&](const torch::Tensor& tensor) {
    const torch::Tensor values = tensor.detach().cpu().contiguous();
    sum = crc32_z(sum, static_cast<const Bytef*>(values.data_ptr()), static_cast<z_size_t>(values.nbytes()));
  };
  for (const auto& item : model.named_parameters()) add(item.value());
  for (const auto& item : model.named_buffers()) add(item.value());
  return fmt::format("{:08x}", sum);
}

}  // namespace gradstab::lab
