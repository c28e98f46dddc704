#include "workload.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "core/base/element_access.hpp"

namespace gradstab::bench {
namespace {

/// Where allocators put tensors.
constexpr std::size_t kTensorAlignment = 64;

/// Names do not matter here but must differ.
class ShapeList {
 public:
  void add(std::vector<std::int64_t> sizes) {
    parameters_.push_back({std::to_string(parameters_.size()), std::move(sizes)});
  }
  ParameterSet finish() { return ParameterSet::create(std::move(parameters_)).value(); }

 private:
  std::vector<Parameter> parameters_;
};

}  // namespace

ParameterSet llama_parameters(int layers, std::int64_t vocabulary) {
  constexpr std::int64_t kWidth = 768;
  constexpr std::int64_t kHidden = 2048;
  ShapeList shapes;
  shapes.add({vocabulary, kWidth});
  for (int layer = 0; layer < layers; ++layer) {
    for (int projection = 0; projection < 4; ++projection) shapes.add({kWidth, kWidth});
    shapes.add({kHidden, kWidth});
    shapes.add({kWidth, kHidden});
    shapes.add({kHidden, kWidth});
    shapes.add({kWidth});
    shapes.add({kWidth});
  }
  shapes.add({kWidth});
  shapes.add({vocabulary, kWidth});
  return shapes.finish();
}

ParameterSet resnet50_parameters() {
  ShapeList shapes;
  const auto convolution = [&](std::int64_t out, std::int64_t in, std::int64_t kernel) {
    shapes.add({out, in, kernel, kernel});
    shapes.add({out});  // the batch norm behind it
    shapes.add({out});
  };
  convolution(64, 3, 7);
  std::int64_t in = 64;
  constexpr int kBlocks[] = {3, 4, 6, 3};
  for (int stage = 0; stage < 4; ++stage) {
    const std::int64_t width = std::int64_t{64} << stage;
    for (int block = 0; block < kBlocks[stage]; ++block) {
      convolution(width, in, 1);
      convolution(width, width, 3);
      convolution(4 * width, width, 1);
      if (block == 0) convolution(4 * width, in, 1);
      in = 4 * width;
    }
  }
  shapes.add({1000, in});
  shapes.add({1000});
  return shapes.finish();
}

ParameterSet equal_parameters(int count, std::int64_t size) {
  ShapeList shapes;
  for (int i = 0; i < count; ++i) shapes.add({size});
  return shapes.finish();
}

Workload::Workload(ParameterSet parameters, DType dtype) : parameters_(std::move(parameters)), dtype_(dtype) {
  std::size_t end = 0;
  for (const Parameter& parameter : parameters_) {
    offsets_.push_back(end);
    const std::int64_t count = element_count(parameter.sizes);
    elements_ += count;
    bytes_ += static_cast<std::size_t>(count) * size_of(dtype);
    const std::size_t tensor_bytes = static_cast<std::size_t>(count) * size_of(dtype);
    end += (tensor_bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
  }
  storage_.resize(end / sizeof(std::uint64_t));
  auto* base = reinterpret_cast<std::byte*>(storage_.data());

  // A period that no block length divides, repeated: drawing 134 M normal numbers would take longer than the
  // benchmark.
  constexpr std::size_t kPeriod = 99991;
  std::mt19937 generator(1);
  std::normal_distribution<double> normal(0.0, 1e-2);
  std::vector<std::byte> period(kPeriod * size_of(dtype));
  for (std::size_t i = 0; i < kPeriod; ++i)
    store_element(&period[i * size_of(dtype)], dtype, normal(generator));
  for (std::size_t at = 0; at < end; at += period.size()) {
    std::memcpy(base + at, period.data(), std::min(period.size(), end - at));
  }
  pristine_ = storage_;

  std::vector<Memory> tensors;
  for (std::size_t t = 0; t < parameters_.size(); ++t) {
    const auto count = static_cast<std::size_t>(element_count(parameters_[t].sizes));
    refs_.push_back({base + offsets_[t], dtype, parameters_[t].sizes, {}, DeviceType::cpu});
    tensors.push_back({base + offsets_[t], count * size_of(dtype)});
  }
  pieces_ = in_pieces(tensors);
}

void Workload::restore() {
  std::memcpy(storage_.data(), pristine_.data(), storage_.size() * sizeof(std::uint64_t));
}

double Workload::value(std::size_t tensor, std::int64_t element) const {
  const auto* base = reinterpret_cast<const std::byte*>(storage_.data());
  return load_element(base + offsets_[tensor] + static_cast<std::size_t>(element) * size_of(dtype_), dtype_);
}

double Workload::pristine_value(std::size_t tensor, std::int64_t element) const {
  const auto* base = reinterpret_cast<const std::byte*>(pristine_.data());
  return load_element(base + offsets_[tensor] + static_cast<std::size_t>(element) * size_of(dtype_), dtype_);
}

}  // namespace gradstab::bench
