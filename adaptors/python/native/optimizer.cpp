#include "optimizer.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "aten/plain_tensors.hpp"
#include "aten/tensor.hpp"
#include "errors.hpp"

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
  check(optimizer_.bind(parameter_set(names, parameters), groups, in_parts,
                        to_indices(fresh, parameters.size())));
  parameters_ = std::move(parameters);
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
  return value(gradstab::dtype_of(parameters_[index], optimizer_.parameters()[index].name));
}

bool FusedOptimizer::step() {
  gradients_.clear();
  for (const at::Tensor& parameter : parameters_) gradients_.push_back(parameter.grad());
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
    parts_[position] = parameters.at(i);
    gradients_[position] = gradients.at(i);
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
  if (!gradient.defined()) return;
  check(optimizer_.measure_one(i, gradient));
}

ReportTensors FusedOptimizer::report() {
  return to_tensors(value(optimizer_.report()));
}

at::Tensor FusedOptimizer::norms() {
  return raw_norms(value(optimizer_.report()));
}

at::Tensor FusedOptimizer::save() {
  return to_tensor(value(optimizer_.save(parameters_)));
}

void FusedOptimizer::load(const at::Tensor& bytes, const std::vector<std::string>& names) {
  check(optimizer_.load(to_bytes(bytes), names));
}

std::tuple<std::int64_t, std::vector<at::Tensor>, std::vector<at::Tensor>, std::int64_t>
FusedOptimizer::parameter_state(std::int64_t index) {
  const std::size_t i = checked(index);
  const Optimizer::ParameterState state = value(optimizer_.parameter_state(i));
  const at::Tensor& parameter = parameters_[i];
  const auto dtype = [&] {
    const auto real = dtype_of(i) == DType::float64 ? at::kDouble : at::kFloat;
    return parameter.is_complex() ? c10::toComplexType(real) : real;
  }();
  const auto count = static_cast<std::size_t>(element_count(optimizer_.parameters()[i].sizes));
  std::vector<at::Tensor> values;
  for (const std::vector<double>& list : state.values) {
    // Of Adam-mini there is one per unit, in float64.
    values.push_back(list.size() == count ? from_memory_order(list, parameter).to(parameter.device(), dtype)
                                          : at::tensor(list, at::kDouble).to(parameter.device()));
  }
  std::vector<at::Tensor> copy;
  if (!state.master.empty())
    copy.push_back(from_memory_order(state.master, parameter).to(parameter.device(), dtype));
  return {state.step, std::move(values), std::move(copy), state.steps};
}

void FusedOptimizer::set_parameter_state(std::int64_t index, std::int64_t step,
                                         const std::vector<at::Tensor>& values,
                                         const std::vector<at::Tensor>& copy, std::int64_t steps) {
  const std::size_t i = checked(index);
  const at::Tensor& parameter = parameters_[i];
  const auto numbers = [&](const at::Tensor& tensor) -> std::vector<double> {
    if (tensor.sizes() == parameter.sizes() && tensor.is_complex() == parameter.is_complex())
      return in_memory_order(tensor, parameter);
    const at::Tensor listed = tensor.cpu().to(at::kDouble).contiguous();
    const auto* data = listed.data_ptr<double>();
    return {data, data + listed.numel()};
  };
  Optimizer::ParameterState state;
  state.step = step;
  state.steps = steps;
  for (const at::Tensor& tensor : values) state.values.push_back(numbers(tensor));
  if (!copy.empty()) state.master = numbers(copy.front());
  check(optimizer_.set_parameter_state(i, dtype_of(i), std::move(state)));
}

std::vector<std::int64_t> FusedOptimizer::stepped() {
  std::vector<std::int64_t> positions;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (value(optimizer_.step_of(i)) > 0) positions.push_back(static_cast<std::int64_t>(i));
  }
  return positions;
}

Statistics FusedOptimizer::statistics(const std::vector<std::int64_t>& positions) {
  const Optimizer& host = *value(optimizer_.home());
  std::vector<std::vector<ParameterStatistic>> lists;
  for (const std::size_t index : to_indices(positions, host.parameters().size()))
    lists.push_back(value(host.statistics(index)));
  return to_tensors(lists);
}

void FusedOptimizer::set_statistics(const std::vector<std::vector<std::string>>& names,
                                    const std::vector<std::vector<at::Tensor>>& values) {
  check(value(optimizer_.home())->set_statistics(to_statistics(names, values)));
}

}  // namespace gradstab::python
