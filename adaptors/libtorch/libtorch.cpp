#include "gradstab/libtorch.hpp"

#include <unordered_set>

#include "state_blob.hpp"

namespace gradstab {
namespace {

constexpr const char* kArchiveKey = "gradstab_state";

}  // namespace

GradientBridge::GradientBridge(GradientTransform transform, RunOptions options)
    : transform_(std::move(transform), std::move(options)) {
  // Settings are wrong or right whatever the parameters are; say so where the optimizer is made, which can be
  // saved before its first step.
  transform_.bind({}).check();
  transform_.forget();
}

void GradientBridge::set_names(const NamedParameters& names) {
  names_.clear();
  for (const auto& item : names) names_.emplace_back(item.value(), item.key());
}

void GradientBridge::bind(const std::vector<torch::optim::OptimizerParamGroup>& groups) const {
  std::vector<at::Tensor> tensors;
  std::vector<Parameter> parameters;
  std::unordered_set<const c10::TensorImpl*> seen;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const auto& group = groups[g].params();
    for (std::size_t i = 0; i < group.size(); ++i) {
      const at::Tensor& tensor = group[i];
      std::string name = "group" + std::to_string(g) + ".parameter" + std::to_string(i);
      for (const auto& [named, its_name] : names_) {
        if (named.is_same(tensor)) name = its_name;
      }
      if (!seen.insert(tensor.unsafeGetTensorImpl()).second) {
        throw Error(
            {StatusCode::invalid_argument,
             "parameter '" + name + "' is in the optimizer twice; its gradient would be transformed twice"});
      }
      tensors.push_back(tensor);
      parameters.push_back({std::move(name), tensor.sizes().vec()});
    }
  }
  transform_.bind(ParameterSet::create(std::move(parameters)).value()).check();
  parameters_ = std::move(tensors);
}

bool GradientBridge::transform_gradients(const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  std::size_t position = 0;
  bool same = true;
  for (const auto& group : groups) {
    for (const at::Tensor& tensor : group.params()) {
      same = same && position < parameters_.size() && parameters_[position].is_same(tensor);
      ++position;
    }
  }
  if (!same || position != parameters_.size()) bind(groups);

  gradients_.clear();
  for (const at::Tensor& parameter : parameters_) {
    const at::Tensor& gradient = parameter.grad();
    // Values of the same element add up before their norm means anything. The coalesced tensor takes the
    // gradient's place, so that the optimizer sees what is scaled.
    if (gradient.defined() && gradient.layout() == at::kSparse && !gradient.is_coalesced())
      parameter.mutable_grad() = gradient.coalesce();
    gradients_.push_back(parameter.grad());
  }
  const bool go_on = transform_.step(gradients_, parameters_).value();
  gradients_.clear();  // they are the caller's to free
  return go_on;
}

const StepReport& GradientBridge::report() const {
  report_ = transform_.report().value();
  return report_;
}

std::vector<std::byte> GradientBridge::save_state(
    const std::vector<torch::optim::OptimizerParamGroup>& groups) const {
  if (!transform_.is_bound()) bind(groups);  // before the first step
  return transform_.save().value();
}

void GradientBridge::load_state(std::span<const std::byte> bytes,
                                const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  transform_.forget();
  bind(groups);
  transform_.load(bytes).check();
}

void GradientBridge::save(torch::serialize::OutputArchive& archive,
                          const std::vector<torch::optim::OptimizerParamGroup>& groups) const {
  archive.write(kArchiveKey, blob_of(save_state(groups)), /*is_buffer=*/true);
}

void GradientBridge::load(torch::serialize::InputArchive& archive,
                          const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  at::Tensor blob;
  if (archive.try_read(kArchiveKey, blob, /*is_buffer=*/true)) {
    const auto bytes = bytes_in(blob).value();
    return load_state(bytes, groups);
  }
  transform_.forget();
  bind(groups);
}

}  // namespace gradstab
