#include "aten/plain_tensors.hpp"
#include "aten/tensor_transform.hpp"
#include "gradstab/libtorch.hpp"
#include "group_parameters.hpp"
#include "state_blob.hpp"

namespace gradstab {
namespace {

constexpr const char* kArchiveKey = "gradstab_state";

}  // namespace

// Behind a pointer that const functions follow: looking at the report or the state may have to fetch it from
// a device, and what is registered follows the groups, to which LibTorch's own functions add at any time.
struct GradientBridge::Impl {
  Impl(GradientTransform method, RunOptions options) : transform(std::move(method), std::move(options)) {}

  void bind(const GroupParameters::Groups& groups) {
    GroupParameters::Taken taken = parameters.take(groups, "its gradient would be transformed twice");
    transform.bind(taken.set, taken.fresh).check();
    parameters.keep(std::move(taken));
  }

  TensorTransform transform;
  GroupParameters parameters;
  std::vector<at::Tensor> gradients;  // of the current step
  StepReport report;
};

GradientBridge::GradientBridge(GradientTransform transform, RunOptions options)
    : impl_(std::make_unique<Impl>(std::move(transform), std::move(options))) {
  // Settings are wrong or right whatever the parameters are; say so where the optimizer is made, which can be
  // saved before its first step.
  impl_->transform.bind({}).check();
  impl_->transform.forget();
}

GradientBridge::~GradientBridge() = default;

void GradientBridge::set_names(const NamedParameters& names) {
  impl_->parameters.set_names(names);
}

const ParameterSet& GradientBridge::parameters() const noexcept {
  return impl_->transform.parameters();
}

std::string GradientBridge::backend_name() const {
  return impl_->transform.backend_name();
}

bool GradientBridge::transform_gradients(const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  if (!impl_->parameters.hold(groups)) impl_->bind(groups);
  impl_->gradients.clear();
  for (at::Tensor& parameter : impl_->parameters.tensors())
    impl_->gradients.push_back(writable_gradient_of(parameter));
  const bool go_on = impl_->transform.step(impl_->gradients, impl_->parameters.tensors()).value();
  impl_->gradients.clear();  // they are the caller's to free
  return go_on;
}

const StepReport& GradientBridge::report() const {
  impl_->report = impl_->transform.report().value();
  return impl_->report;
}

std::vector<std::byte> GradientBridge::save_state(
    const std::vector<torch::optim::OptimizerParamGroup>& groups) const {
  if (!impl_->parameters.hold(groups))
    impl_->bind(groups);  // before the first step, or after the groups changed
  return impl_->transform.save().value();
}

void GradientBridge::load_state(std::span<const std::byte> bytes,
                                const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  impl_->transform.forget();
  impl_->bind(groups);
  impl_->transform.load(bytes).check();
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
  impl_->transform.forget();
  impl_->bind(groups);
}

}  // namespace gradstab
