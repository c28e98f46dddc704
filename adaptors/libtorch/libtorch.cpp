#include "gradstab/libtorch.hpp"

#include "gradstab/libtorch_plain.hpp"
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
  parameters_.set_names(names);
}

void GradientBridge::bind(const std::vector<torch::optim::OptimizerParamGroup>& groups) const {
  GroupParameters::Taken taken = parameters_.take(groups, "its gradient would be transformed twice");
  transform_.bind(taken.set, taken.fresh).check();
  parameters_.keep(std::move(taken));
}

bool GradientBridge::transform_gradients(const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  if (!parameters_.hold(groups)) bind(groups);
  gradients_.clear();
  for (at::Tensor& parameter : parameters_.tensors()) gradients_.push_back(writable_gradient_of(parameter));
  const bool go_on = transform_.step(gradients_, parameters_.tensors()).value();
  gradients_.clear();  // they are the caller's to free
  return go_on;
}

const StepReport& GradientBridge::report() const {
  report_ = transform_.report().value();
  return report_;
}

std::vector<std::byte> GradientBridge::save_state(
    const std::vector<torch::optim::OptimizerParamGroup>& groups) const {
  if (!parameters_.hold(groups)) bind(groups);  // before the first step, or after the groups changed
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
