#include "transform.hpp"

#include <ATen/ATen.h>

#include <map>
#include <mutex>

#include "aten/plain_tensors.hpp"
#include "aten/tensor.hpp"
#include "errors.hpp"
#include "gradstab/transforms.hpp"
#include "parts.hpp"

namespace gradstab::python {
namespace {

/// Objects by number. Numbers are not used twice.
struct Registry {
  std::mutex mutex;
  std::int64_t last = 0;
  std::map<std::int64_t, Transform*> objects;
};

/// Never destroyed, because objects may outlive whatever is destroyed at exit.
Registry& registry() {
  static Registry& instance = *new Registry;
  return instance;
}

}  // namespace

Transform::Transform(const Description& description, const std::string& nonfinite, const std::string& backend)
    : transform_(make_transform(description), make_run_options(nonfinite, backend)) {
  // Settings are wrong or right whatever the parameters are; say so where the object is made.
  check(transform_.validate());
  const std::lock_guard lock(registry().mutex);
  id_ = ++registry().last;
  registry().objects.emplace(id_, this);
}

Transform::~Transform() {
  const std::lock_guard lock(registry().mutex);
  registry().objects.erase(id_);
}

Transform& Transform::by_id(std::int64_t id) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().objects.find(id);
  if (found == registry().objects.end()) {
    raise({StatusCode::failed_precondition, "there is no transform of id " + std::to_string(id) +
                                                "; it is valid as long as the object it was taken from"});
  }
  return *found->second;
}

void Transform::register_set(ParameterSet set, std::optional<ParameterSet> parts,
                             const std::vector<std::int64_t>& fresh) {
  std::vector<std::size_t> indices = to_indices(fresh, set.size());
  check(parts ? transform_.bind_parts(std::move(set), *std::move(parts), std::move(indices))
              : transform_.bind(std::move(set), std::move(indices)));
  left_.clear();
}

void Transform::bind(std::vector<at::Tensor> parameters, const std::vector<std::string>& names,
                     const std::vector<std::int64_t>& fresh) {
  register_set(parameter_set(names, parameters), {}, fresh);
  parameters_ = std::move(parameters);
}

void Transform::bind_shapes(const std::vector<std::string>& names,
                            const std::vector<std::vector<std::int64_t>>& sizes,
                            const std::vector<std::vector<std::int64_t>>& parts,
                            const std::vector<std::int64_t>& fresh) {
  std::optional<ParameterSet> shapes;
  if (!parts.empty()) shapes = parameter_set(names, parts);
  register_set(parameter_set(names, sizes), std::move(shapes), fresh);
  parameters_.clear();
}

bool Transform::step(bool check_repeats) {
  gradients_.clear();
  for (at::Tensor& parameter : parameters_) gradients_.push_back(writable_gradient_of(parameter));
  if (check_repeats && come_again(gradients_)) {
    raise({StatusCode::failed_precondition,
           "the gradients are those that the last step has already transformed; transform them once between "
           "backward and the optimizer's step, or pass check_repeats=False where that is meant"});
  }
  const bool go_on = value(transform_.step(gradients_, parameters_));
  if (go_on) {
    for (const at::Tensor& gradient : gradients_) {
      if (gradient.defined()) written(gradient);
    }
    left_.remember(gradients_);
  } else {
    left_.clear();
  }
  gradients_.clear();  // they are the caller's to free
  return go_on;
}

/// What autograd has not seen written has the norms that were left, or somebody else has written it.
bool Transform::come_again(const std::vector<at::Tensor>& gradients) {
  if (!left_.are(gradients)) return false;
  const StepReport last = value(transform_.report());
  std::vector<at::Tensor> present;
  std::vector<double> norms;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    present.push_back(gradients[i]);
    norms.push_back(last.tensors[i].norm());
  }
  return have_norms(present, at::tensor(norms, at::kDouble));
}

at::Tensor Transform::squared_norms_of(const std::vector<std::int64_t>& positions,
                                       const std::vector<at::Tensor>& parts) const {
  std::vector<std::string> names;
  for (const std::size_t index : to_indices(positions, transform_.parameters().size()))
    names.push_back(transform_.parameters()[index].name);
  return squared_norms(parts, names);
}

std::vector<at::Tensor> Transform::writable_gradients(std::vector<at::Tensor> parameters) const {
  std::vector<at::Tensor> gradients;
  for (at::Tensor& parameter : parameters) gradients.push_back(writable_gradient_of(parameter));
  return gradients;
}

bool Transform::step_at(const std::vector<std::int64_t>& positions, const std::vector<at::Tensor>& gradients,
                        const std::vector<at::Tensor>& parameters) {
  const ParameterSet& names = transform_.parameters();
  if (positions.size() != gradients.size() ||
      (!parameters.empty() && parameters.size() != gradients.size())) {
    raise({StatusCode::invalid_argument, "got " + std::to_string(positions.size()) + " positions, " +
                                             std::to_string(gradients.size()) + " gradients and " +
                                             std::to_string(parameters.size()) +
                                             " parameters; expected as many of each"});
  }
  gradients_.assign(names.size(), {});
  values_.assign(parameters.empty() ? 0 : names.size(), {});
  const std::vector<std::size_t> indices = to_indices(positions, names.size());
  for (std::size_t i = 0; i < indices.size(); ++i) {
    gradients_[indices[i]] = gradients[i];
    if (!parameters.empty()) values_[indices[i]] = parameters[i];
  }
  const bool go_on = value(transform_.step(gradients_, values_));
  gradients_.clear();
  values_.clear();
  for (const at::Tensor& gradient : gradients) written(gradient);
  return go_on;
}

at::Tensor Transform::update(const std::vector<std::int64_t>& positions,
                             const std::vector<at::Tensor>& gradients,
                             const std::vector<at::Tensor>& parameters) {
  step_at(positions, gradients, parameters);
  const at::Tensor norms = value(transform_.raw_norms());
  return norms.index_select(0, at::tensor(positions, at::kLong).to(norms.device()));
}

at::Tensor Transform::measure_parts(const std::vector<std::int64_t>& positions,
                                    const std::vector<at::Tensor>& parts) {
  const ParameterSet& names = transform_.parameters();
  gradients_.assign(names.size(), {});
  const std::vector<std::size_t> indices = to_indices(positions, names.size());
  for (std::size_t i = 0; i < indices.size(); ++i) gradients_[indices[i]] = parts.at(i);
  at::Tensor squares = value(transform_.measure_parts(gradients_));
  if (!squares.defined()) gradients_.clear();
  return squares;
}

bool Transform::finish_parts() {
  const bool go_on = value(transform_.finish_parts(gradients_));
  for (const at::Tensor& gradient : gradients_) {
    if (go_on && gradient.defined()) written(gradient);
  }
  gradients_.clear();
  return go_on;
}

at::Tensor Transform::decide(const at::Tensor& squared_norms) {
  const ParameterSet& names = transform_.parameters();
  const at::Tensor squares = squared_norms.cpu().to(at::kDouble).contiguous();
  if (squares.dim() != 1 || squares.numel() != static_cast<std::int64_t>(names.size())) {
    raise({StatusCode::shape_mismatch, "squared norms have " + std::to_string(squares.numel()) +
                                           " elements, expected one per registered parameter, " +
                                           std::to_string(names.size())});
  }
  const StepReport report = value(
      transform_.decide_at_home({squares.data_ptr<double>(), static_cast<std::size_t>(squares.numel())}));
  at::Tensor factors = at::ones({squares.numel()}, at::kDouble);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const TensorReport& tensor = report.tensors[i];
    if (tensor.present && !report.skip_step) {
      factors.data_ptr<double>()[i] = tensor.zeroed ? 0.0 : tensor.factor;
    }
  }
  return factors;
}

ReportTensors Transform::report() {
  return to_tensors(value(transform_.report()));
}

bool Transform::skips_step() {
  return value(transform_.report()).skip_step;
}

at::Tensor Transform::norms() {
  return value(transform_.raw_norms());
}

std::tuple<std::vector<std::string>, std::vector<at::Tensor>> Transform::state() {
  std::vector<std::string> names;
  std::vector<at::Tensor> values;
  std::size_t link = 0;
  for (const MethodState& method : value(transform_.state())) {
    const std::string prefix = std::to_string(link++) + "." + std::string(method.method) + ".";
    for (const StateField& field : method.fields) {
      names.push_back(prefix + std::string(field.name));
      values.push_back(at::tensor(field.values, at::kDouble));
    }
  }
  return {std::move(names), std::move(values)};
}

at::Tensor Transform::save() {
  return to_tensor(value(transform_.save()));
}

void Transform::load(const at::Tensor& bytes, const std::vector<std::string>& names) {
  check(transform_.load(to_bytes(bytes), names));
  left_.clear();
}

Statistics Transform::statistics(const std::vector<std::int64_t>& positions) {
  const GradientTransform& host = *value(transform_.home());
  std::vector<std::vector<ParameterStatistic>> lists;
  for (const std::size_t index : to_indices(positions, host.parameters().size()))
    lists.push_back(value(host.statistics(index)));
  return to_tensors(lists);
}

void Transform::set_statistics(const std::vector<std::vector<std::string>>& names,
                               const std::vector<std::vector<at::Tensor>>& values) {
  check(value(transform_.home())->set_statistics(to_statistics(names, values)));
  left_.clear();
}

}  // namespace gradstab::python
