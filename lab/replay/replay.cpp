#include "lab/replay/replay.hpp"

#include <fmt/format.h>

#include <span>
#include <vector>

#include "gradstab/export.hpp"
#include "lab/replay/methods.hpp"
#include "lab/replay/numbers.hpp"
#include "lab/replay/quantizers.hpp"

namespace gradstab::lab {
namespace {

Status invalid(std::string message) {
  return {StatusCode::invalid_argument, std::move(message)};
}

/// One case in numbers of type T.
template <class T>
class Replay {
 public:
  /// `hyper`: an object.
  Replay(const Json& recorded, const Json& hyper, std::string where)
      : recorded_(recorded), hyper_(hyper), where_(std::move(where)) {}

  /// The case as text.
  Result<std::string> run(const ReplayOptions& options, const std::string& method_name) {
    GRADSTAB_RETURN_IF_ERROR(read_tensors());
    GRADSTAB_RETURN_IF_ERROR(check_steps());
    RecordedSettings settings(hyper_, options.overrides);
    auto method = make_replayed_method(method_name, settings, sizeof(T) == sizeof(double));
    if (!method) return in_case(method.status());
    const bool needs_values =
        method->optimizer || (method->transform && method->transform->needs_parameters());
    if (needs_values && !has_values_)
      return corrupt(fmt::format("{}: method '{}' needs 'init' of every tensor", where_, method_name));
    const RunOptions run{.nonfinite = method->nonfinite, .backend = options.backend};
    auto parameters = ParameterSet::create(parameters_);
    if (!parameters) return corrupt(in_case(parameters.status()).message());
    const Status bound = method->optimizer ? method->optimizer->init(*parameters, {.run = run})
                                           : method->transform->init(*parameters, run);
    if (!bound.ok()) return in_case(bound);

    Json head = recorded_;
    head.erase("steps");
    head["hyper"] = settings.values();
    head["computed_with"] = fmt::format("gradstab {}", GRADSTAB_VERSION);
    std::string text = head.dump();
    text.pop_back();  // its closing brace
    text += ",\"steps\":[";
    bool first = true;
    for (const Json& step : recorded_["steps"]) {
      const auto line = one_step(*method, step);
      if (!line) return line.status();
      text += (first ? "\n" : ",\n") + *line;
      first = false;
    }
    return text + "\n]}";
  }

 private:
  static constexpr int kBits = sizeof(T) * 8;
  static constexpr DType kDType = sizeof(T) == sizeof(double) ? DType::float64 : DType::float32;

  Status in_case(const Status& status) const {
    return {status.code(), fmt::format("{}: {}", where_, status.message())};
  }

  /// A list of numbers as long as a tensor.
  Status read_list(const Json& list, std::size_t tensor, const std::string& what,
                   std::vector<T>& values) const {
    const auto count = static_cast<std::size_t>(element_count(parameters_[tensor].sizes));
    return read_numbers(list, count,
                        fmt::format("{}: {} of tensor '{}'", where_, what, parameters_[tensor].name), values);
  }

  Status read_tensors() {
    if (!recorded_.contains("tensors") || !recorded_["tensors"].is_array())
      return corrupt(where_ + ": has no list 'tensors'");
    has_values_ = true;
    for (const Json& tensor : recorded_["tensors"]) {
      const auto name = tensor.is_object() ? as_text(tensor.value("name", Json())) : std::nullopt;
      if (!name || !tensor.contains("shape")) return corrupt(where_ + ": a tensor needs 'name' and 'shape'");
      Parameter parameter{*name, {}};
      auto sizes =
          read_shape(tensor["shape"], fmt::format("{}: shape of tensor '{}'", where_, parameter.name));
      if (!sizes) return sizes.status();
      parameter.sizes = std::move(*sizes);
      parameters_.push_back(std::move(parameter));
      values_.emplace_back();
      gradients_.emplace_back();
      if (!tensor.contains("init")) {
        has_values_ = false;
      } else {
        GRADSTAB_RETURN_IF_ERROR(read_list(tensor["init"], parameters_.size() - 1, "'init'", values_.back()));
      }
    }
    if (!has_values_ && hyper_.contains("x0") && parameters_.size() == 1) {
      has_values_ = true;
      return read_list(hyper_["x0"], 0, "'x0'", values_.front());
    }
    return {};
  }

  /// Before memory for states is asked for, which a shape that no gradient has could make any amount of.
  Status check_steps() {
    if (!recorded_.contains("steps") || !recorded_["steps"].is_array() || recorded_["steps"].empty())
      return corrupt(where_ + ": has no list 'steps' of at least one step");
    for (const Json& step : recorded_["steps"]) {
      if (!step.is_object())
        return corrupt(fmt::format("{}: a step is {}, expected an object", where_, shown(step)));
      const Json t = step.value("t", Json());
      const auto number_of_step = as_whole(t);
      if (!number_of_step || *number_of_step < 1 || *number_of_step > std::int64_t{1} << 62)
        return corrupt(
            fmt::format("{}: 't' of a step must be a whole number from 1, got {}", where_, shown(t)));
      // Those of a quadratic are as many as its curvature.
      if (step.contains("grad") || !is_quadratic()) GRADSTAB_RETURN_IF_ERROR(read_gradients(step));
    }
    return {};
  }

  std::vector<TensorRef> refs(std::vector<std::vector<T>>& tensors) const {
    std::vector<TensorRef> list;
    for (std::size_t t = 0; t < tensors.size(); ++t)
      list.push_back({.data = tensors[t].empty() ? nullptr : tensors[t].data(),
                      .dtype = kDType,
                      .sizes = parameters_[t].sizes,
                      .strides = {}});
    return list;
  }

  bool is_quadratic() const { return hyper_.contains("curvature"); }

  /// Those of the step; without any, of the objective that the case describes.
  Status read_gradients(const Json& step) {
    const std::string t = step["t"].dump();
    const std::string what = fmt::format("'grad' of step {}", t);
    if (!step.contains("grad") && is_quadratic()) return gradients_of_quadratic(t);
    if (!step.contains("grad") || !step["grad"].is_array() || step["grad"].size() != parameters_.size())
      return corrupt(fmt::format("{}: {} must be a list of {} tensors", where_, what, parameters_.size()));
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      GRADSTAB_RETURN_IF_ERROR(read_list(step["grad"][i], i, what, gradients_[i]));
    return {};
  }

  /// curvature * (x - target), times the multiplier of this step where there is one.
  Status gradients_of_quadratic(const std::string& t) {
    if (parameters_.size() != 1 || !has_values_)
      return corrupt(where_ + ": a quadratic has one tensor, with 'init' or 'x0'");
    std::vector<T> curvature;
    std::vector<T> target;
    GRADSTAB_RETURN_IF_ERROR(read_list(hyper_["curvature"], 0, "'curvature'", curvature));
    GRADSTAB_RETURN_IF_ERROR(read_list(hyper_.value("target", Json()), 0, "'target'", target));
    const Json multipliers = hyper_.value("multipliers", Json::object());
    if (!multipliers.is_object())
      return corrupt(
          fmt::format("{}: 'multipliers' must be an object of numbers, got {}", where_, shown(multipliers)));
    const Json recorded = multipliers.value(t, Json(1.0));
    const auto multiplier = number(recorded);
    if (!multiplier)
      return corrupt(
          fmt::format("{}: multiplier of step {} must be a number, got {}", where_, t, shown(recorded)));
    gradients_[0].resize(curvature.size());
    for (std::size_t i = 0; i < curvature.size(); ++i)
      gradients_[0][i] = curvature[i] * (values_[0][i] - target[i]) * static_cast<T>(*multiplier);
    return {};
  }

  Result<std::string> one_step(ReplayedMethod& method, const Json& step) {
    GRADSTAB_RETURN_IF_ERROR(read_gradients(step));
    const std::int64_t number_of_step = as_whole(step["t"]).value();
    if (method.before_step) method.before_step(*method.optimizer, number_of_step);
    auto gradients = refs(gradients_);
    auto values = refs(values_);
    const auto report = method.optimizer ? method.optimizer->step(values, gradients, number_of_step)
                        : method.transform->needs_parameters()
                            ? method.transform->update(gradients, values, number_of_step)
                            : method.transform->update(gradients, number_of_step);
    if (!report) {
      return Status(report.status().code(),
                    fmt::format("{}: step {}: {}", where_, number_of_step, report.status().message()));
    }
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const TensorReport& tensor = report->tensors[i];
      if (tensor.present && tensor.finite && tensor.raw_norm > 0.0) rho_[i] = tensor.norm();
    }

    std::string line = fmt::format("{{\"t\":{}", number_of_step);
    if (step.contains("kind")) line += ",\"kind\":" + step["kind"].dump();
    if (step.contains("grad")) line += ",\"grad\":" + step["grad"].dump();
    if (method.optimizer) {
      append_tensors(line, "param", values_);
      if (method.writes_gradients) append_tensors(line, "grad_after", gradients_);
      append_elements(line, *method.optimizer);
    } else {
      append_tensors(line, "out", gradients_);
    }
    append_state(line, method.optimizer ? method.optimizer->transform_state() : method.transform->state(),
                 *report);
    return line + "}";
  }

  static void append_tensors(std::string& line, const char* name,
                             const std::vector<std::vector<T>>& tensors) {
    line += fmt::format(",\"{}{}\":[", name, kBits);
    for (std::size_t t = 0; t < tensors.size(); ++t) {
      if (t > 0) line += ',';
      append(line, std::span<const T>(tensors[t]));
    }
    line += ']';
  }

  void append_elements(std::string& line, const Optimizer& optimizer) const {
    const bool sgd = optimizer.name().find("sgd") != std::string::npos;
    const std::vector<const char*> names =
        sgd ? std::vector{"momentum_buffer"} : std::vector{"exp_avg", "exp_avg_sq", "max_exp_avg_sq"};
    std::vector<Optimizer::ParameterState> states;
    std::size_t arrays = 0;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      states.push_back(optimizer.parameter_state(i).value());
      arrays = std::max(arrays, states.back().values.size());
    }
    if (arrays == 0) return;
    line += fmt::format(",\"elem{}\":{{", kBits);
    for (std::size_t k = 0; k < arrays && k < names.size(); ++k) {
      line += fmt::format("{}\"{}\":[", k > 0 ? "," : "", names[k]);
      for (std::size_t i = 0; i < states.size(); ++i) {
        if (i > 0) line += ',';
        std::vector<T> narrowed;
        if (k < states[i].values.size())
          narrowed.assign(states[i].values[k].begin(), states[i].values[k].end());
        append(line, std::span<const T>(narrowed));
      }
      line += ']';
    }
    line += '}';
  }

  /// Decisions are in double whatever the tensors are.
  void append_state(std::string& line, const std::vector<MethodState>& methods,
                    const StepReport& report) const {
    line += fmt::format(",\"state{}\":{{", kBits);
    bool first = true;
    const auto key = [&](std::string_view name) {
      line += fmt::format("{}\"{}\":", first ? "" : ",", name);
      first = false;
    };
    bool stabilized = false;
    for (const MethodState& method : methods) {
      stabilized = stabilized || method.method == "stabilize";
      for (const StateField& field : method.fields) {
        key(field.name);
        const bool of_all = method.method == "zclip";
        if (!of_all) {
          append(line, std::span<const double>(field.values));
        } else if (field.values.empty()) {
          line += "null";
        } else {
          append(line, field.values.front());
        }
      }
      if (method.method == "zclip") {
        key("total");
        append(line, report.raw_global_norm);
      }
    }
    if (stabilized) {
      std::vector<double> last;
      for (std::size_t i = 0; i < parameters_.size(); ++i)
        last.push_back(rho_.contains(i) ? rho_.at(i) : 0.0);
      key("rho");
      append(line, std::span<const double>(last));
    }
    line += '}';
  }

  const Json& recorded_;
  const Json& hyper_;
  std::string where_;
  std::vector<Parameter> parameters_;
  bool has_values_ = false;
  std::vector<std::vector<T>> values_;
  std::vector<std::vector<T>> gradients_;
  std::map<std::size_t, double> rho_;  // norms last applied
};

Result<std::string> replay_case(const Json& recorded, const std::string& where, const std::string& method,
                                const ReplayOptions& options) {
  const Json hyper = recorded.value("hyper", Json::object());
  if (!hyper.is_object())
    return corrupt(fmt::format("{}: 'hyper' must be an object, got {}", where, shown(hyper)));
  if (is_quantizer(method)) return replay_quantizer(recorded, hyper, where, method, options);
  if (options.dtype == DType::float64) return Replay<double>(recorded, hyper, where).run(options, method);
  return Replay<float>(recorded, hyper, where).run(options, method);
}

}  // namespace

Result<std::string> replay(const Json& recording, const ReplayOptions& options) {
  if (!recording.is_object() || recording.value("format", Json()) != 1)
    return corrupt("the recording must be a JSON object with \"format\": 1");
  if (!recording.contains("cases") || !recording["cases"].is_array() || recording["cases"].empty())
    return corrupt("the recording has no list 'cases'");
  std::string method = options.method;
  if (method.empty()) {
    const Json named = recording.value("method", Json());
    const auto word = as_text(named);
    if (!word) return corrupt(fmt::format("'method' of the recording must be a word, got {}", shown(named)));
    method = *word;
  }
  if (const Status known = check_method(method); !known.ok()) return known;

  std::string text = fmt::format("{{\"format\":1,\"method\":{},\n\"cases\":[", Json(method).dump());
  bool first = true;
  for (const Json& recorded : recording["cases"]) {
    if (!recorded.is_object()) return corrupt("each of the 'cases' must be a JSON object");
    const Json named = recorded.value("name", Json(""));
    const auto name = as_text(named);
    if (!name) return corrupt(fmt::format("'name' of a case must be a text, got {}", shown(named)));
    if (!options.only_case.empty() && *name != options.only_case) continue;
    const auto one = replay_case(recorded, fmt::format("case '{}'", *name), method, options);
    if (!one) return one.status();
    text += (first ? "\n" : ",\n") + *one;
    first = false;
  }
  if (first) return invalid(fmt::format("the recording has no case '{}'", options.only_case));
  return text + "\n]}\n";
}

}  // namespace gradstab::lab
