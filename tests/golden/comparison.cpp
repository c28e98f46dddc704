#include "golden/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace gradstab::fixture {

std::string difference(std::span<const double> got, std::span<const double> expected, double tolerance) {
  std::ostringstream text;
  text.precision(17);
  if (got.size() != expected.size()) {
    text << "got " << got.size() << " values, expected " << expected.size();
    return text.str();
  }
  double largest = 0.0;
  for (const double value : expected) {
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  }
  const double allowed = tolerance * largest;
  double worst = allowed;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const bool both_nan = std::isnan(got[i]) && std::isnan(expected[i]);
    if (both_nan || got[i] == expected[i]) continue;
    const double error = std::fabs(got[i] - expected[i]);
    if (error <= worst) continue;  // false for a NaN or an infinity on one side
    if (std::isfinite(error)) worst = error;
    text.str("");
    text << "value " << i << " is " << got[i] << ", expected " << expected[i] << "; differs by " << error
         << ", allowed are " << allowed;
    if (!std::isfinite(error)) break;
  }
  return text.str();
}

std::string difference(const std::vector<std::vector<double>>& got,
                       const std::vector<std::vector<double>>& expected, double tolerance) {
  if (got.size() != expected.size()) return "a different number of tensors";
  std::string all;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::string one = difference(std::span(got[i]), std::span(expected[i]), tolerance);
    if (!one.empty()) all += "tensor " + std::to_string(i) + ": " + one + "\n";
  }
  return all;
}

std::vector<std::vector<double>> perturbed(std::vector<std::vector<double>> values, double tolerance) {
  double* largest = nullptr;
  for (auto& tensor : values) {
    for (double& value : tensor) {
      if (std::isfinite(value) && (!largest || std::fabs(value) > std::fabs(*largest))) largest = &value;
    }
  }
  if (largest) *largest *= 1.0 + 2.0 * tolerance;
  return values;
}

}  // namespace gradstab::fixture
