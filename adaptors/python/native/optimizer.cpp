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

}  // namespace

FusedOptimizer::FusedOptimizer(std::string kind, const Description& description, const std::string& nonfinite,
                               const std::string& backend, const std::string& low_precision,
                               std::int64_t seed)
    : kind_(std::move(kind)),
      optimizer_(make_optimizer_options(kind_, Numbers(), Words()), make_optional_transform(description)) {
  run_.run = make_run_options(nonfinite, backend);
  run_.run.executor = torch_executor();
  run_.low_precision = low_precision_of(low_precision);
  run_.seed = static_cast<std::uint64_t>(seed);
  // Settings are wrong or right whatever the parameters are; say so where the object is made.
  check(optimizer_.init({}, run_));
}

void FusedOptimizer::bind(std::vector<at::Tensor> parameters, const std::vector<std::string>& names,
                          const std::vector<std::int64_t>& group_of, const c10::List<Numbers>& numbers,
                          const c10::List<Words>& words, const std::vector<std::int64_t>& fresh) {
  std::vector<OptimizerGroup> groups;
  for (std::size_t g = 0; g < numbers.size(); ++g) {
    groups.push_back({make_optimizer_options(kind_, numbers.get(g), words.get(g)), {}});
  }
  for (std::size_t i = 0; i < group_of.size(); ++i) {
    groups.at(static_cast<std::size_t>(group_of[i])).parameters.push_back(i);
  }
  ParameterSet set = parameter_set(names, parameters);
  check(bound_ ? optimizer_.rebind(set, groups) : optimizer_.init(set, run_, groups));
  bound_ = true;
  parameters_ = std::move(parameters);
  parameter_refs_.assign(parameters_.size(), {});
  gradient_refs_.assign(parameters_.size(), {});
  measured_.assign(parameters_.size(), {});
  for (const std::int64_t index : fresh) {
    const std::size_t i = checked(index);
    check(optimizer_.set_parameter_state(i, parameter_ref(i).dtype, {}));
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

TensorRef FusedOptimizer::parameter_ref(std::size_t index) const {
  return reference(parameters_[index], optimizer_.parameters()[index].name);
}

bool FusedOptimizer::step() {
  const ParameterSet& names = optimizer_.parameters();
  gradients_.clear();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    gradients_.push_back(parameters_[i].grad());
    gradient_refs_[i] = reference(gradients_[i], names[i].name);
    parameter_refs_[i] = gradients_[i].defined() ? parameter_ref(i) : TensorRef{};
    measure_again_if_written(i, gradients_[i], gradient_refs_[i]);
  }
  const bool done = !value(optimizer_.step(parameter_refs_, gradient_refs_)).skip_step;
  if (done) {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (gradients_[i].defined()) written(parameters_[i]);
    }
  }
  gradients_.clear();  // they are the caller's to free
  measured_.assign(parameters_.size(), {});
  return done;
}

std::vector<double> FusedOptimizer::step_one(std::int64_t index) {
  const std::size_t i = checked(index);
  const at::Tensor gradient = parameters_[i].grad();
  if (!gradient.defined()) return {0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0};
  const TensorRef gradient_ref = reference(gradient, optimizer_.parameters()[i].name);
  measure_again_if_written(i, gradient, gradient_ref);
  const TensorReport report = value(optimizer_.step_one(i, parameter_ref(i), gradient_ref));
  measured_[i].reset();
  written(parameters_[i]);
  const auto number = [](bool flag) { return flag ? 1.0 : 0.0; };
  return {report.raw_norm,       report.norm(),        report.factor,        number(report.present),
          number(report.finite), number(report.spike), number(report.zeroed)};
}

void FusedOptimizer::check_can_step_one() const {
  check(optimizer_.can_step_one());
}

void FusedOptimizer::measure_one(std::int64_t index) {
  const std::size_t i = checked(index);
  const at::Tensor gradient = parameters_[i].grad();
  // What else is wrong with a gradient, `step` says.
  if (!gradient.defined() || gradient.layout() != at::kStrided) return;
  check(optimizer_.measure_one(i, reference(gradient, optimizer_.parameters()[i].name)));
  measured_[i].emplace(gradient);
}

void FusedOptimizer::measure_again_if_written(std::size_t index, const at::Tensor& gradient,
                                              const TensorRef& gradient_ref) {
  const std::optional<GradientMark>& mark = measured_[index];
  if (!mark || !gradient.defined() || mark->is(gradient)) return;
  check(optimizer_.measure_one(index, gradient_ref));
  measured_[index].emplace(gradient);
}

at::Tensor FusedOptimizer::save() const {
  return to_tensor(value(optimizer_.save()));
}

void FusedOptimizer::load(const at::Tensor& bytes) {
  check(optimizer_.load(to_bytes(bytes)));
}

std::tuple<std::int64_t, std::vector<at::Tensor>> FusedOptimizer::parameter_state(std::int64_t index) const {
  const std::size_t i = checked(index);
  const Optimizer::ParameterState state = value(optimizer_.parameter_state(i));
  const at::Tensor& parameter = parameters_[i];
  const auto dtype = parameter.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  std::vector<at::Tensor> values;
  for (const std::vector<double>& list : state.values) {
    if (static_cast<std::int64_t>(list.size()) != parameter.numel()) {
      values.push_back(at::tensor(list, at::kDouble).to(dtype));  // Adam-mini: one per unit
      continue;
    }
    // The values are in the order in which the parameter's elements lie in memory.
    at::Tensor ordered = at::empty_like(parameter, parameter.options().dtype(at::kDouble));
    std::copy(list.begin(), list.end(), ordered.data_ptr<double>());
    values.push_back(ordered.to(dtype));
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
      ordered = at::empty_like(parameter, parameter.options().dtype(at::kDouble));
      ordered.copy_(tensor);
    } else {
      ordered = tensor.to(at::kDouble).contiguous();
    }
    const auto* data = ordered.data_ptr<double>();
    state.values.emplace_back(data, data + ordered.numel());
  }
  check(optimizer_.set_parameter_state(i, parameter_ref(i).dtype, state));
}

}  // namespace gradstab::python
