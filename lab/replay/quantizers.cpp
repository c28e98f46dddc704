#include "lab/replay/quantizers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "gradstab/export.hpp"
#include "lab/quantize/fake_quantize.hpp"
#include "lab/replay/numbers.hpp"

namespace gradstab::lab {
namespace {

enum class Operand { weight, activation };

/// Whole numbers of a format, which a case may state and nobody may change.
Status fixed(RecordedSettings& settings, const char* name, std::int64_t value) {
  std::int64_t stated = value;
  settings.read(name, stated);
  if (stated == value) return {};
  return {settings.overridden(name) ? StatusCode::invalid_argument : StatusCode::corrupt_data,
          fmt::format("setting {} must be {} in this format, got {}", name, value, stated)};
}

Status check_grid(const Json& hyper, const std::vector<double>& expected) {
  if (!hyper.contains("grid") || hyper["grid"] == Json(expected)) return {};
  return corrupt(fmt::format("setting grid must be {}, got {}", Json(expected).dump(), shown(hyper["grid"])));
}

Status read_e1m2(RecordedSettings& settings, const Json& hyper, QuantizerOptions& options) {
  options.format = QuantizerFormat::fp4_e1m2;
  if (hyper.contains("grid")) options.compat = Compat::robust;
  if (options.compat == Compat::released) options = QuantizerOptions::released_fp4();
  for (const auto& [name, value] : {std::pair("e", 1), std::pair("m", 2), std::pair("b", 1)})
    GRADSTAB_RETURN_IF_ERROR(fixed(settings, name, value));
  return check_grid(hyper, {0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75});
}

Status read_e2m1(const Json& hyper, QuantizerOptions& options) {
  options.format = QuantizerFormat::fp4_e2m1;
  return check_grid(hyper, {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0});
}

Status read_int4(RecordedSettings& settings, Operand operand, QuantizerOptions& options) {
  const Compat compat = options.compat;
  options =
      operand == Operand::weight ? QuantizerOptions::int4_weights() : QuantizerOptions::int4_activations();
  options.compat = compat;
  return fixed(settings, "bits", 4);
}

Result<Operand> operand_of(RecordedSettings& settings, const Json& hyper) {
  const bool activation = hyper.contains("topk") || hyper.contains("stochastic");
  std::string operand = activation ? "activation" : "weight";
  settings.read("operand", operand);
  if (operand == "weight") return Operand::weight;
  if (operand == "activation") return Operand::activation;
  return Status(StatusCode::invalid_argument,
                fmt::format("setting operand must be weight or activation, got '{}'", operand));
}

Result<QuantizerOptions> read_options(const std::string& method, RecordedSettings& settings,
                                      const Json& hyper, Operand operand) {
  QuantizerOptions options;
  const auto compat = read_compat(settings);
  if (!compat) return compat.status();
  options.compat = *compat;
  GRADSTAB_RETURN_IF_ERROR(method == "fp4_e1m2"   ? read_e1m2(settings, hyper, options)
                           : method == "fp4_e2m1" ? read_e2m1(hyper, options)
                                                  : read_int4(settings, operand, options));
  bool stochastic = false;
  settings.read("group", options.group_size);
  settings.read("topk", options.keep_largest);
  settings.read("scale", options.fixed_scale);
  settings.read("stochastic", stochastic);
  settings.read("seed", options.seed);
  if (stochastic) options.rounding = QuantizerRounding::stochastic;
  GRADSTAB_RETURN_IF_ERROR(settings.status());
  GRADSTAB_RETURN_IF_ERROR(options.validate());
  return options;
}

/// One case in numbers of type T.
template <class T>
class QuantizerReplay {
 public:
  QuantizerReplay(const Json& recorded, const Json& hyper, const std::string& where)
      : recorded_(recorded), hyper_(hyper), where_(where) {}

  Result<std::string> run(const std::string& method, const ReplayOptions& replay) {
    const bool linear = !recorded_.contains("input") && recorded_.contains("x");
    if (!linear && !recorded_.contains("input"))
      return corrupt(where_ + ": has neither 'input' nor the 'x' of a linear layer");
    if (!replay.backend.empty()) {
      return in_case({StatusCode::invalid_argument,
                      fmt::format("quantizers have no backends, got '{}'", replay.backend)});
    }
    RecordedSettings settings(hyper_, replay.overrides);
    const bool int4 = method == "int4";
    // A layer has both, and what a case says is of its activations.
    const auto operand =
        int4 && !linear ? operand_of(settings, hyper_) : Result<Operand>(Operand::activation);
    if (!operand) return in_case(operand.status());
    const auto options = read_options(method, settings, hyper_, *operand);
    if (!options) return in_case(options.status());
    begin();
    if (!linear) {
      GRADSTAB_RETURN_IF_ERROR(quantize_input(*options));
    } else {
      auto of_weight = *options;
      if (int4) {
        of_weight.format = QuantizerFormat::int4_weight;
        of_weight.keep_largest = 0;
      }
      GRADSTAB_RETURN_IF_ERROR(run_linear(of_weight, *options));
    }
    return text_ + "}";
  }

 private:
  static constexpr int kBits = sizeof(T) * 8;

  Status in_case(const Status& status) const {
    return {status.code(), fmt::format("{}: {}", where_, status.message())};
  }

  /// The case without the results that it was recorded with.
  void begin() {
    Json head = recorded_;
    for (const char* key :
         {"out32", "out64", "code", "scale32", "scale64", "zero", "y32", "y64", "dx32", "dx64", "dw32",
          "dw64", "db32", "db64", "mismatches_32_vs_64", "mismatches_vs_bundled_class"})
      head.erase(key);
    head["computed_with"] = fmt::format("gradstab {}", GRADSTAB_VERSION);
    text_ = head.dump();
    text_.pop_back();  // its closing brace
  }

  Status read(const char* key, std::size_t count, std::vector<T>& values) const {
    if (!recorded_.contains(key)) return corrupt(fmt::format("{}: has no list '{}'", where_, key));
    return read_numbers(recorded_[key], count, fmt::format("{}: '{}'", where_, key), values);
  }
  /// A list of any length.
  Status read(const char* key, std::vector<T>& values) const {
    const bool list = recorded_.contains(key) && recorded_[key].is_array();
    return read(key, list ? recorded_[key].size() : 0, values);
  }

  template <class Values>
  void write(const std::string& key, const Values& values) {
    text_ += fmt::format(",\"{}\":", key);
    append(text_, std::span<const T>(values));
  }
  template <class Number>
  void write_whole(const char* key, const std::vector<Number>& values) {
    text_ += fmt::format(",\"{}\":{}", key, Json(values).dump());
  }
  void write_result(const char* stem, const std::vector<T>& values) {
    write(fmt::format("{}{}", stem, kBits), values);
  }

  Status check_shape(std::size_t count) const {
    if (!recorded_.contains("shape")) return {};
    const auto sizes = read_shape(recorded_["shape"], fmt::format("{}: 'shape'", where_));
    if (!sizes) return sizes.status();
    const auto elements = static_cast<std::size_t>(element_count(*sizes));
    if (elements == count) return {};
    return corrupt(fmt::format("{}: 'input' must be a list of {} numbers as its shape {} says, got {}",
                               where_, elements, shape_text(*sizes), count));
  }

  Status quantize_input(const QuantizerOptions& options) {
    std::vector<T> values;
    std::vector<T> noise;
    GRADSTAB_RETURN_IF_ERROR(read("input", values));
    GRADSTAB_RETURN_IF_ERROR(check_shape(values.size()));
    if (options.rounding == QuantizerRounding::stochastic && recorded_.contains("uniform_noise"))
      GRADSTAB_RETURN_IF_ERROR(read("uniform_noise", values.size(), noise));
    std::vector<std::uint8_t> codes(values.size());
    std::vector<T> scales(options.group_count(values.size()));
    std::vector<std::uint8_t> zeros(scales.size());
    const Status done =
        fake_quantize(values, values, options,
                      {.noise = noise, .draw = 0, .codes = codes, .scales = scales, .zero_points = zeros});
    if (!done.ok()) return in_case(done);
    write_result("out", values);
    write_whole("code", recorded_codes(codes, options));
    write_result("scale", scales);
    if (options.format == QuantizerFormat::int4_weight)
      write_whole("zero", std::vector<int>(zeros.begin(), zeros.end()));
    return {};
  }

  /// Recordings leave out the sign of FP4 where the scale is that of a group, and write INT4 activations as
  /// numbers from -8 to 7.
  static std::vector<int> recorded_codes(const std::vector<std::uint8_t>& codes,
                                         const QuantizerOptions& options) {
    std::vector<int> result(codes.begin(), codes.end());
    const bool int4 =
        options.format == QuantizerFormat::int4_weight || options.format == QuantizerFormat::int4_activation;
    for (int& code : result) {
      if (options.format == QuantizerFormat::int4_activation && code > 7) code -= 16;
      if (!int4 && options.fixed_scale == 0.0) code &= 7;
    }
    return result;
  }

  Status quantize(std::vector<T>& values, const QuantizerOptions& options, const char* what) const {
    const Status done = fake_quantize(std::span<const T>(values), std::span<T>(values), options);
    if (done.ok()) return {};
    return {done.code(), fmt::format("{}: '{}': {}", where_, what, done.message())};
  }

  Status run_linear(const QuantizerOptions& of_weight, const QuantizerOptions& of_input) {
    std::vector<T> x, weight, bias, grad;
    GRADSTAB_RETURN_IF_ERROR(read("bias", bias));
    GRADSTAB_RETURN_IF_ERROR(read("weight", weight));
    GRADSTAB_RETURN_IF_ERROR(read("grad_out", grad));
    const std::size_t outputs = bias.size();
    if (outputs == 0) return corrupt(where_ + ": 'bias' must be a list of at least one number");
    for (const auto& [name, list] : {std::pair("weight", &weight), std::pair("grad_out", &grad)}) {
      if (list->size() % outputs != 0) {
        return corrupt(
            fmt::format("{}: '{}' must be a list of a multiple of {} numbers, one per output, got {}", where_,
                        name, outputs, list->size()));
      }
    }
    const std::size_t rows = grad.size() / outputs;
    const std::size_t inputs = weight.size() / outputs;
    GRADSTAB_RETURN_IF_ERROR(read("x", rows * inputs, x));
    GRADSTAB_RETURN_IF_ERROR(quantize(x, of_input, "x"));
    GRADSTAB_RETURN_IF_ERROR(quantize(weight, of_weight, "weight"));

    std::vector<T> y(rows * outputs), dx(rows * inputs), dw(outputs * inputs), db(outputs);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t o = 0; o < outputs; ++o) {
        const T g = grad[r * outputs + o];
        T sum = bias[o];
        for (std::size_t i = 0; i < inputs; ++i) {
          sum += x[r * inputs + i] * weight[o * inputs + i];
          dx[r * inputs + i] += g * weight[o * inputs + i];
          dw[o * inputs + i] += g * x[r * inputs + i];
        }
        y[r * outputs + o] = sum;
        db[o] += g;
      }
    }
    write_result("y", y);
    write_result("dx", dx);
    write_result("dw", dw);
    write_result("db", db);
    return {};
  }

  const Json& recorded_;
  const Json& hyper_;
  const std::string& where_;
  std::string text_;
};

}  // namespace

const std::vector<MethodName>& quantizer_methods() {
  static const std::vector<MethodName> names = {{"fp4_e1m2", "fake quantization to FP4, evenly spaced"},
                                                {"fp4_e2m1", "fake quantization to FP4 of the OCP formats"},
                                                {"int4", "fake quantization to INT4"}};
  return names;
}

bool is_quantizer(std::string_view method) {
  return std::ranges::any_of(quantizer_methods(),
                             [&](const MethodName& name) { return name.name == method; });
}

Result<std::string> replay_quantizer(const Json& recorded, const Json& hyper, const std::string& where,
                                     const std::string& method, const ReplayOptions& options) {
  if (options.dtype == DType::float64)
    return QuantizerReplay<double>(recorded, hyper, where).run(method, options);
  return QuantizerReplay<float>(recorded, hyper, where).run(method, options);
}

}  // namespace gradstab::lab
