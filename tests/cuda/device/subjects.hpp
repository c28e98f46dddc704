// The same steps on the device and on its emulation, over the same numbers.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backends/cuda/device.hpp"
#include "gradstab/cuda.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab::testing {

/// Tensors in the memory of a device, or of the host where there is none.
class Tensors {
 public:
  /// Each starts `offset` elements after an aligned address.
  Tensors(std::shared_ptr<device::Device> device, const ParameterSet& parameters, DType dtype,
          std::size_t offset = 0)
      : device_(std::move(device)) {
    device::Arena arena;
    std::vector<std::size_t> places;
    for (const Parameter& parameter : parameters) {
      const auto bytes = static_cast<std::size_t>(element_count(parameter.sizes)) * size_of(dtype);
      places.push_back(arena.add<std::byte>(bytes + offset * size_of(dtype)) + offset * size_of(dtype));
      bytes_.push_back(bytes);
    }
    memory_ = device::Memory::allocate(device_, arena.bytes()).value();
    for (std::size_t t = 0; t < parameters.size(); ++t) {
      TensorRef ref;
      ref.data = memory_.data() + places[t];
      ref.dtype = dtype;
      ref.sizes = parameters[t].sizes;
      ref.device = DeviceType::cuda;
      refs_.push_back(ref);
    }
  }

  /// Waits.
  void set(std::size_t tensor, const std::vector<double>& values, device::Stream stream = nullptr) {
    std::vector<std::byte> bytes(bytes_[tensor]);
    for (std::size_t i = 0; i < values.size(); ++i) write(bytes.data(), i, values[i]);
    device_->upload(refs_[tensor].data, bytes.data(), bytes.size(), stream).check();
    device_->wait_for_stream(stream).check();
  }
  std::vector<std::byte> bytes(std::size_t tensor, device::Stream stream = nullptr) const {
    std::vector<std::byte> result(bytes_[tensor]);
    device_->download(result.data(), refs_[tensor].data, result.size(), stream).check();
    device_->wait_for_stream(stream).check();
    return result;
  }
  std::vector<double> values(std::size_t tensor, device::Stream stream = nullptr) const {
    const auto raw = bytes(tensor, stream);
    std::vector<double> result(raw.size() / size_of(refs_[tensor].dtype));
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = read(raw.data(), i);
    return result;
  }
  const std::vector<TensorRef>& refs() const { return refs_; }
  std::vector<TensorRef>& refs() { return refs_; }

 private:
  void write(std::byte* to, std::size_t i, double value) const {
    const DType dtype = refs_.front().dtype;
    const auto put = [&](const auto& element) {
      std::memcpy(to + i * sizeof element, &element, sizeof element);
    };
    if (dtype == DType::float32) return put(static_cast<float>(value));
    if (dtype == DType::float16) return put(to_float16(value));
    put(to_bfloat16(value));
  }
  double read(const std::byte* from, std::size_t i) const {
    const auto get = [&]<class T>(T element) {
      std::memcpy(&element, from + i * sizeof element, sizeof element);
      return element;
    };
    switch (refs_.front().dtype) {
      case DType::float32:
        return get(float{});
      case DType::float16:
        return to_float(get(Float16{}));
      default:
        return to_float(get(BFloat16{}));
    }
  }

  std::shared_ptr<device::Device> device_;
  device::Memory memory_;
  std::vector<std::size_t> bytes_;
  std::vector<TensorRef> refs_;
};

inline ParameterSet parameters_of(const std::vector<std::vector<std::int64_t>>& sizes) {
  std::vector<Parameter> list;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    list.push_back({"layer" + std::to_string(i) + ".wo", sizes[i]});
  return ParameterSet::create(std::move(list)).value();
}

inline std::vector<double> normal_values(std::size_t count, double deviation, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0.0, deviation);
  std::vector<double> values(count);
  for (double& value : values) value = normal(random);
  return values;
}

inline std::size_t count_of(const Parameter& parameter) {
  return static_cast<std::size_t>(element_count(parameter.sizes));
}

}  // namespace gradstab::testing
