#include "support/gradients.hpp"

#include <cmath>
#include <limits>
#include <random>

#include "support/elements.hpp"

namespace gradstab::testing {

ParameterSet parameter_set(std::vector<Parameter> parameters) {
  return ParameterSet::create(std::move(parameters)).value();
}

ParameterSet parameter_set_of_sizes(const std::vector<std::vector<std::int64_t>>& sizes) {
  std::vector<Parameter> parameters;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    parameters.push_back({std::string("t").append(std::to_string(i)), sizes[i]});
  return parameter_set(std::move(parameters));
}

double rounded(double value, DType dtype) {
  std::byte element[sizeof(double)];
  write_element(element, dtype, value);
  return read_element(element, dtype);
}

double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return 0x1p-24;
    case DType::float64:
      return 0x1p-53;
    case DType::float16:
      return 0x1p-11;
    case DType::bfloat16:
      return 0x1p-8;
  }
  return 0.0;
}

double smallest_positive(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return 0x1p-149;
    case DType::float64:
      return 0x1p-1074;
    case DType::float16:
      return 0x1p-24;
    case DType::bfloat16:
      return 0x1p-133;
  }
  return 0.0;
}

double norm_of(std::span<const double> values) {
  static_assert(
      std::numeric_limits<long double>::max_exponent > 2 * std::numeric_limits<double>::max_exponent,
      "squares of doubles must fit");
  long double sum = 0.0L;
  for (const double value : values) sum += static_cast<long double>(value) * value;
  return static_cast<double>(std::sqrt(sum));
}

Values normal_values(std::size_t count, double deviation, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0.0, deviation);
  Values values(count);
  for (double& value : values) value = normal(random);
  return values;
}

Gradients::Gradients(const ParameterSet& parameters, DType dtype) : dtype_(dtype) {
  for (const Parameter& parameter : parameters) {
    sizes_.push_back(parameter.sizes);
    const auto count = static_cast<std::size_t>(element_count(parameter.sizes));
    storage_.emplace_back(count * size_of(dtype));
  }
  for (std::size_t i = 0; i < sizes_.size(); ++i) {
    refs_.push_back({.data = storage_[i].data(), .dtype = dtype, .sizes = sizes_[i], .strides = {}});
  }
}

void Gradients::set(std::size_t tensor, std::span<const double> values) {
  std::byte* element = storage_[tensor].data();
  refs_[tensor].data = element;
  for (const double value : values) {
    write_element(element, dtype_, value);
    element += size_of(dtype_);
  }
}

void Gradients::set_all(const std::vector<Values>& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) set(i, tensors[i]);
}

void Gradients::set_absent(std::size_t tensor) {
  refs_[tensor].data = nullptr;
}

Values Gradients::values(std::size_t tensor) const {
  Values result;
  const std::vector<std::byte>& bytes = storage_[tensor];
  for (std::size_t at = 0; at < bytes.size(); at += size_of(dtype_)) {
    result.push_back(read_element(bytes.data() + at, dtype_));
  }
  return result;
}

std::vector<Values> Gradients::values() const {
  std::vector<Values> result;
  for (std::size_t i = 0; i < storage_.size(); ++i) result.push_back(values(i));
  return result;
}

}  // namespace gradstab::testing
