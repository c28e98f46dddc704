#include "optimizer.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "errors.hpp"
#include "gradstab/libtorch_tensor.hpp"

namespace gradstab::python {
namespace {

std::optional<GradientTransform> make_optional_transform(const Description& description) {
  if (description.methods.empty()) return {};
  return make_transform(description);
}

OptimizerRunOptions make_optimizer_run_options(const std::string& nonfinite, const std::string& backend,
                                               const std::string& low_precision, std::int64_t seed) {
  OptimizerRunOptions run;
  run.run = make_run_options(nonfinite, backend);
  run.low_precision = low_precision_of(low_precision);
  run.seed = static_cast<std::uint64_t>(seed);
  return run;
}

}  // namespace

FusedOptimizer::FusedOptimizer(std::string kind, const Description& description, const std::string& nonfinite,
                               const std::string& backend, const std::string& low_precision,
                               std::int64_t seed)
    : kind_(std::move(kind)),
      optimizer_(make_optimizer_options(kind_, Numbers(), Words()), make_optional_transform(description),
                 make_optimizer_run_options(nonfinite, backend, low_precision, seed)) {
  // Settings are wrong or right whatever the parameters are; say so where the object is made.
  check(optimizer_.validate());
}

void FusedOptimizer::bind(std::vector<at::Tensor> parameters, const std::vector<std::string>& names,
                          const std::vector<std::int64_t>& group_of, const c10::List<Numbers>& numbers,
                          const c10::List<Words>& words, const std::vector<std::int64_t>& fresh,
                          bool in_parts) {
  std::vector<OptimizerGroup> groups;
  for (std::size_t g = 0; g < numbers.size(); ++g) {
    groups.push_back({make_optimizer_options(kind_, numbers.get(g), words.get(g)), {}});
  }
  for (std::size_t i = 0; i < group_of.size(); ++i) {
    groups.at(static_cast<std::size_t>(group_of[i])).parameters.push_back(i);
  }
  check(optimizer_.bind(parameter_set(names, parameters), groups, in_parts));
  parameters_ = std::move(parameters);
  for (const std::int64_t index : fresh) {
    const std::size_t i = checked(index);
    check(value(optimizer_.home())->set_parameter_state(i, dtype_of(i), {}));
  }
}

void FusedOptimizer::set_group(std::int64_t group, const Numbers& numbers, const Words& words) {
  check(
      optimizer_.set_options(static_cast<std::size_t>(group), make_optimizer_options(kind_, numbers, words)));
}

std::size_t FusedOptimizer::checked(std::int64_t index) const {
  if (index < 0 || index >= static_cast<std::int64_t>(parameters_.size())) {
    raise({StatusCode::invalid_argument, "parameter index " + std::to_string(index) + " is outside of the " +
                                             std::to_string(parameters_.size()) + " registered parameters"});
  }
  return static_cast<std::size_t>(index);
}

DType FusedOptimizer::dtype_of(std::size_t index) const {
  return reference(parameters_[index], optimizer_.parameters()[index].name).dtype;
}

bool FusedOptimizer::step() {
  const ParameterSet& names = optimizer_.parameters();
  gradients_.clear();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    gradients_.push_back(parameters_[i].grad());
    if (!gradients_[i].defined()) continue;
    check_is_plain(gradients_[i], names[i].name);
    check_is_plain(parameters_[i], names[i].name);
  }
  const bool done = value(optimizer_.step(parameters_, gradients_));
  if (done) {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (gradients_[i].defined()) written(parameters_[i]);
    }
  }
  gradients_.clear();  // they are the caller's to free
  return done;
}

at::Tensor FusedOptimizer::measure_parts(const std::vector<std::int64_t>& positions,
                                         const std::vector<at::Tensor>& parameters,
                                         const std::vector<at::Tensor>& gradients) {
  const ParameterSet& names = optimizer_.parameters();
  gradients_.assign(names.size(), {});
  parts_.assign(names.size(), {});
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const std::size_t position = checked(positions[i]);
    check_is_plain(parameters.at(i), names[position].name);
    check_is_plain(gradients.at(i), names[position].name);
    parts_[position] = parameters[i];
    gradients_[position] = gradients[i];
  }
  return value(optimizer_.measure_parts(parts_, gradients_));
}

bool FusedOptimizer::finish_parts() {
  const bool done = value(optimizer_.finish_parts(parts_, gradients_));
  for (const at::Tensor& part : parts_) {
    if (done && part.defined()) written(part);
  }
  gradients_.clear();
  parts_.clear();
  return done;
}

bool FusedOptimizer::step_one(std::int64_t index) {
  const std::size_t i = checked(index);
  const at::Tensor gradient = parameters_[i].grad();
  if (!gradient.defined()) return false;
  check_is_plain(gradient, optimizer_.parameters()[i].name);
  check_is_plain(parameters_[i], optimizer_.parameters()[i].name);
  check(optimizer_.step_one(i, parameters_[i], gradient));
  written(parameters_[i]);
  return true;
}

std::vector<double> FusedOptimizer::report_of_one(std::int64_t index) {
  const TensorReport report = value(optimizer_.report_of_one(checked(index)));
  const auto number = [](bool flag) { return flag ? 1.0 : 0.0; };
  return {report.raw_norm,       report.norm(),        report.factor,        number(report.present),
          number(report.finite), number(report.spike), number(report.zeroed)};
}

void FusedOptimizer::check_can_step_one() {
  check(optimizer_.can_step_one(parameters_));
}

void FusedOptimizer::measure_one(std::int64_t index) {
  const std::size_t i = checked(index);
  const at::Tensor gradient = parameters_[i].grad();
  // What else is wrong with a gradient, `step` says.
  if (!gradient.defined() || gradient.layout() != at::kStrided) return;
  check_is_plain(gradient, optimizer_.parameters()[i].name);
  check(optimizer_.measure_one(i, gradient));
}

ReportTensors FusedOptimizer::report() {
  return to_tensors(value(optimizer_.report()));
}

at::Tensor FusedOptimizer::norms() {
  return raw_norms(value(optimizer_.report()));
}

at::Tensor FusedOptimizer::save() {
  return to_tensor(value(optimizer_.save()));
}

void FusedOptimizer::load(const at::Tensor& bytes) {
  check(optimizer_.load(to_bytes(bytes)));
}

std::tuple<std::int64_t, std::vector<at::Tensor>> FusedOptimizer::parameter_state(std::int64_t index) {
  const std::size_t i = checked(index);
  const Optimizer::ParameterState state = value(value(optimizer_.home())->parameter_state(i));
  const at::Tensor& parameter = parameters_[i];
  const auto dtype = parameter.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  std::vector<at::Tensor> values;
  for (const std::vector<double>& list : state.values) {
    if (static_cast<std::int64_t>(list.size()) != parameter.numel()) {
      values.push_back(
          at::tensor(list, at::kDouble).to(parameter.device(), dtype));  // Adam-mini: one per unit
      continue;
    }
    // The values are in the order in which the parameter's elements lie in memory.
    at::Tensor ordered = at::empty_like(parameter, parameter.options().dtype(at::kDouble).device(at::kCPU));
    std::copy(list.begin(), list.end(), ordered.data_ptr<double>());
    values.push_back(ordered.to(parameter.device(), dtype));
  }
  return {state.step, std::move(values)};
}

void FusedOptimizer::set_parameter_state(std::int64_t index, std::int64_t step,
                                         const std::vector<at::Tensor>& values) {
  const std::size_t i = checked(index);
  const at::Tensor& parameter = parameters_[i];
  Optimizer::ParameterState state;
  state.step = step;
  for (const at::Tensor& tensor : values) {
    at::Tensor ordered;
    if (tensor.sizes() == parameter.sizes()) {
      ordered = at::empty_like(parameter, parameter.options().dtype(at::kDouble).device(at::kCPU));
      ordered.copy_(tensor);
    } else {
      ordered = tensor.cpu().to(at::kDouble).contiguous();
    }
    const auto* data = ordered.data_ptr<double>();
    state.values.emplace_back(data, data + ordered.numel());
  }
  check(value(optimizer_.home())->set_parameter_state(i, dtype_of(i), state));
}

}  // namespace gradstab::python
