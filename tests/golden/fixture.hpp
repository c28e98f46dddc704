// Golden vectors: what the original authors' code and an independent float64 program computed.
//
// Where they come from and what the keys mean: tests/golden/README.md.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gradstab::fixture {

/// The elements of one tensor in row-major order, or one number per tensor.
using Values = std::vector<double>;

struct Tensor {
  std::string name;
  std::vector<std::int64_t> sizes;
  Values init;  ///< starting parameter values (float32); empty where the method has no parameters
};

struct Step {
  std::int64_t t = 0;
  std::string kind;
  nlohmann::json data;  ///< the step as it stands in the file

  bool has(std::string_view key) const { return data.contains(key); }
  /// A list of tensors, such as "out32" or "out64".
  std::vector<Values> tensors(std::string_view key) const;
  /// The input gradients: float32 numbers, whose decimals mean the nearest float32.
  std::vector<Values> gradients() const;
  /// One number, such as "coef64".
  double number(std::string_view key) const;
  /// One number per tensor out of the state, such as ("state64", "m").
  Values state(std::string_view key, std::string_view field) const;
};

struct Case {
  std::string name;
  nlohmann::json hyper;
  bool released_defect = false;  ///< the float32 numbers show behaviour not to be copied
  std::string dtype;             ///< of the float32 run's gradients; "float32" unless stated
  nlohmann::json data;           ///< the case without its steps
  std::vector<Tensor> tensors;
  std::vector<Step> steps;

  double hyper_number(std::string_view key) const;
};

/// The cases of tests/golden/data/<method>.json. Throws on a missing file or a missing key.
std::vector<Case> load(std::string_view method);

/// The case of that name; throws where there is none.
Case load_case(std::string_view method, std::string_view name);

/// The same as it stands in the file, for cases without tensors and steps: those of the quantizers.
nlohmann::json load_plain_case(std::string_view method, std::string_view name);

/// Names of all cases, for test parameters.
std::vector<std::string> case_names(std::string_view method);

/// A number, or one of the strings "nan", "inf", "-inf".
double to_number(const nlohmann::json& value);
Values to_values(const nlohmann::json& list);
/// Numbers written as float32, for float64 programs: each decimal stands for the nearest float32.
Values to_float32_values(const nlohmann::json& list);

}  // namespace gradstab::fixture
