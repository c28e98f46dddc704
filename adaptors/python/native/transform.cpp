#include "transform.hpp"

#include <ATen/ATen.h>

#include <map>
#include <mutex>

#include "errors.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/libtorch_tensor.hpp"
#include "gradstab/transforms.hpp"

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

std::vector<Parameter> without(const ParameterSet& set, const std::vector<std::int64_t>& left_out) {
  std::vector<bool> skip(set.size(), false);
  for (const std::int64_t index : left_out) skip.at(static_cast<std::size_t>(index)) = true;
  std::vector<Parameter> kept;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (!skip[i]) kept.push_back(set[i]);
  }
  return kept;
}

}  // namespace

Transform::Transform(const Description& description, const std::string& nonfinite, const std::string& backend)
    : transform_(make_transform(description)), run_(make_run_options(nonfinite, backend)) {
  run_.executor = torch_executor();
  // Settings are wrong or right whatever the parameters are; say so where the object is made.
  check(transform_.validate());
  check(find_backend(run_.backend).status());
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

void Transform::register_set(ParameterSet set, const std::vector<std::int64_t>& fresh) {
  if (bound_ && !fresh.empty()) {
    // What is unknown to a binding is forgotten; where even that is refused (a group without members),
    // everything starts afresh.
    bound_ = transform_.rebind(value(ParameterSet::create(without(set, fresh)))).ok();
  }
  check(bound_ ? transform_.rebind(std::move(set)) : transform_.init(std::move(set), run_));
  bound_ = true;
  left_.clear();
}

void Transform::bind(std::vector<at::Tensor> parameters, const std::vector<std::string>& names,
                     const std::vector<std::int64_t>& fresh) {
  register_set(parameter_set(names, parameters), fresh);
  parameters_ = std::move(parameters);
}

void Transform::bind_shapes(const std::vector<std::string>& names,
                            const std::vector<std::vector<std::int64_t>>& sizes,
                            const std::vector<std::int64_t>& fresh) {
  register_set(parameter_set(names, sizes), fresh);
  parameters_.clear();
}

bool Transform::step(bool check_repeats) {
  const bool compares = transform_.needs_parameters();
  const ParameterSet& names = transform_.parameters();
  gradients_.clear();
  gradient_refs_.clear();
  parameter_refs_.assign(compares ? parameters_.size() : 0, {});
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    gradients_.push_back(gradient_of(parameters_[i]));
    gradient_refs_.push_back(reference(gradients_[i], names[i].name));
    if (compares && gradients_[i].defined()) parameter_refs_[i] = reference(parameters_[i], names[i].name);
  }
  if (check_repeats && left_.are(gradients_)) {
    raise({StatusCode::failed_precondition,
           "the gradients are those that the last step has already transformed; transform them once between "
           "backward and the optimizer's step, or pass check_repeats=False where that is meant"});
  }
  const bool go_on = !value(transform_.update(gradient_refs_, parameter_refs_)).skip_step;
  if (go_on) {
    for (const at::Tensor& gradient : gradients_) {
      if (gradient.defined()) written(gradient);
    }
    left_.remember(gradients_);
  }
  gradients_.clear();  // they are the caller's to free
  return go_on;
}

at::Tensor Transform::update(const std::vector<std::int64_t>& positions,
                             const std::vector<at::Tensor>& gradients,
                             const std::vector<at::Tensor>& parameters) {
  const ParameterSet& names = transform_.parameters();
  if (positions.size() != gradients.size() ||
      (!parameters.empty() && parameters.size() != gradients.size())) {
    raise({StatusCode::invalid_argument, "got " + std::to_string(positions.size()) + " positions, " +
                                             std::to_string(gradients.size()) + " gradients and " +
                                             std::to_string(parameters.size()) +
                                             " parameters; expected as many of each"});
  }
  gradient_refs_.assign(names.size(), {});
  parameter_refs_.assign(parameters.empty() ? 0 : names.size(), {});
  for (std::size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] < 0 || positions[i] >= static_cast<std::int64_t>(names.size())) {
      raise({StatusCode::invalid_argument, "position " + std::to_string(positions[i]) +
                                               " is outside of the " + std::to_string(names.size()) +
                                               " registered parameters"});
    }
    const auto position = static_cast<std::size_t>(positions[i]);
    gradient_refs_[position] = reference(gradients[i], names[position].name);
    if (!parameters.empty()) parameter_refs_[position] = reference(parameters[i], names[position].name);
  }
  check(transform_.update(gradient_refs_, parameter_refs_).status());
  for (const at::Tensor& gradient : gradients) written(gradient);
  return raw_norms(transform_.report()).index_select(0, at::tensor(positions, at::kLong));
}

at::Tensor Transform::decide(const at::Tensor& squared_norms) {
  const ParameterSet& names = transform_.parameters();
  const at::Tensor squares = squared_norms.cpu().to(at::kDouble).contiguous();
  if (squares.dim() != 1 || squares.numel() != static_cast<std::int64_t>(names.size())) {
    raise({StatusCode::shape_mismatch, "squared norms have " + std::to_string(squares.numel()) +
                                           " elements, expected one per registered parameter, " +
                                           std::to_string(names.size())});
  }
  // A gradient with a single stored value has that value's norm, whatever the shape of its parameter: all
  // that a method of norms looks at.
  at::Tensor stand_ins = squares.sqrt();
  at::Tensor factors = at::ones({squares.numel()}, at::kDouble);
  static constexpr std::int64_t kOne[] = {1};
  gradient_refs_.assign(names.size(), {});
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (squares.data_ptr<double>()[i] == -1.0) continue;
    gradient_refs_[i].data = stand_ins.data_ptr<double>() + i;
    gradient_refs_[i].dtype = DType::float64;
    gradient_refs_[i].sizes = kOne;
    gradient_refs_[i].sparse_values = true;
  }
  const StepReport report = value(transform_.update(gradient_refs_));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const TensorReport& tensor = report.tensors[i];
    if (tensor.present && !report.skip_step) {
      factors.data_ptr<double>()[i] = tensor.zeroed ? 0.0 : tensor.factor;
    }
  }
  return factors;
}

std::tuple<std::vector<std::string>, std::vector<at::Tensor>> Transform::state() const {
  std::vector<std::string> names;
  std::vector<at::Tensor> values;
  std::size_t link = 0;
  for (const MethodState& method : transform_.state()) {
    const std::string prefix = std::to_string(link++) + "." + std::string(method.method) + ".";
    for (const StateField& field : method.fields) {
      names.push_back(prefix + std::string(field.name));
      values.push_back(at::tensor(field.values, at::kDouble));
    }
  }
  return {std::move(names), std::move(values)};
}

at::Tensor Transform::save() const {
  return to_tensor(value(transform_.save()));
}

void Transform::load(const at::Tensor& bytes) {
  check(transform_.load(to_bytes(bytes)));
  left_.clear();
}

at::Tensor squared_norms(const std::vector<at::Tensor>& tensors) {
  std::vector<std::string> names;
  std::vector<TensorRef> references;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    names.push_back(std::to_string(i));
    references.push_back(reference(tensors[i], names.back()));
  }
  GradientTransform meter = record_norms();
  check(meter.init(parameter_set(names, tensors), {.executor = torch_executor()}));
  const at::Tensor norms = raw_norms(value(meter.update(references)));
  return norms * norms;
}

void scale(const std::vector<at::Tensor>& tensors, const at::Tensor& factors) {
  const at::Tensor numbers = factors.cpu().to(at::kDouble).contiguous();
  if (numbers.dim() != 1 || numbers.numel() != static_cast<std::int64_t>(tensors.size())) {
    raise({StatusCode::shape_mismatch, "got " + std::to_string(numbers.numel()) + " factors for " +
                                           std::to_string(tensors.size()) + " tensors"});
  }
  const auto backend = value(find_backend());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const double factor = numbers.data_ptr<double>()[i];
    if (factor == 1.0 || tensors[i].numel() == 0) continue;
    if (factor == 0.0) {
      tensors[i].zero_();
      continue;
    }
    // In contiguous memory the order of the elements does not matter.
    const bool in_place = tensors[i].is_non_overlapping_and_dense();
    at::Tensor dense = in_place ? tensors[i] : tensors[i].contiguous();
    const TensorRef memory = reference(dense, std::to_string(i));
    if (memory.device != DeviceType::cpu) {
      raise({StatusCode::unsupported,
             "tensor " + std::to_string(i) + " is on " + dense.device().str() + ", expected cpu"});
    }
    backend->scale(memory.data, memory.dtype, static_cast<std::size_t>(dense.numel()), factor);
    if (in_place) {
      written(tensors[i]);
    } else {
      tensors[i].copy_(dense);
    }
  }
}

}  // namespace gradstab::python
