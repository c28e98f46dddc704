#include "fused_optimizer.hpp"

#include <torch/serialize.h>

#include "aten/plain_tensors.hpp"
#include "aten/tensor.hpp"
#include "state_blob.hpp"

namespace gradstab {
namespace {

constexpr const char* kArchiveKey = "gradstab_optimizer";

std::string group_key(std::size_t group) {
  return "gradstab_group" + std::to_string(group);
}

}  // namespace

FusedOptimizer::FusedOptimizer(std::vector<torch::optim::OptimizerParamGroup> groups,
                               std::unique_ptr<torch::optim::OptimizerOptions> defaults,
                               OptimizerOptions kind, FusedSettings settings)
    : torch::optim::Optimizer(std::move(groups), std::move(defaults)),
      impl_(std::make_unique<Impl>(std::move(kind), std::move(settings))) {
  // Settings are wrong or right whatever the parameters are; say so where the optimizer is made.
  impl_->fused.validate().check();
}

FusedOptimizer::~FusedOptimizer() = default;

void FusedOptimizer::set_names(const NamedParameters& names) {
  impl_->parameters.set_names(names);
}

void FusedOptimizer::bind() const {
  if (impl_->parameters.hold(param_groups_)) {
    for (std::size_t g = 0; g < param_groups_.size(); ++g)
      impl_->fused.set_options(g, convert(param_groups_[g].options())).check();
    return;
  }
  GroupParameters::Taken taken = impl_->parameters.take(param_groups_, "it would be updated twice");
  std::vector<OptimizerGroup> groups;
  for (const auto& group : param_groups_) groups.push_back({convert(group.options()), {}});
  for (std::size_t i = 0; i < taken.group_of.size(); ++i) groups[taken.group_of[i]].parameters.push_back(i);
  impl_->fused.bind(taken.set, groups, false, taken.fresh).check();
  impl_->parameters.keep(std::move(taken));
}

std::string FusedOptimizer::backend_name() const {
  return impl_->fused.backend_name();
}

const ParameterSet& FusedOptimizer::registered_parameters() const noexcept {
  return impl_->fused.parameters();
}

const StepReport& FusedOptimizer::report() const {
  impl_->report = impl_->fused.report().value();
  return impl_->report;
}

torch::Tensor FusedOptimizer::step(LossClosure closure) {
  torch::Tensor loss;
  if (closure) {
    const at::AutoGradMode enable_grad(true);
    loss = closure();
  }
  bind();
  impl_->gradients.clear();
  const std::vector<at::Tensor>& parameters = impl_->parameters.tensors();
  for (const at::Tensor& parameter : parameters) impl_->gradients.push_back(parameter.grad());
  impl_->fused.step(parameters, impl_->gradients).status().check();
  // Autograd notices when a tensor that it saved was changed behind its back; these were changed.
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (impl_->gradients[i].defined()) parameters[i].unsafeGetTensorImpl()->bump_version();
  }
  impl_->gradients.clear();  // they are the caller's to free
  return loss;
}

void FusedOptimizer::save(torch::serialize::OutputArchive& archive) const {
  bind();
  for (std::size_t g = 0; g < param_groups_.size(); ++g) {
    torch::serialize::OutputArchive options(archive.compilation_unit());
    param_groups_[g].options().serialize(options);
    archive.write(group_key(g), options);
  }
  archive.write(kArchiveKey, blob_of(impl_->fused.save(impl_->parameters.tensors()).value()),
                /*is_buffer=*/true);
}

std::vector<std::byte> FusedOptimizer::save_state() const {
  bind();
  return impl_->fused.save(impl_->parameters.tensors()).value();
}

void FusedOptimizer::load_state(std::span<const std::byte> bytes) {
  bind();
  impl_->fused.load(bytes).check();
}

void FusedOptimizer::load(torch::serialize::InputArchive& archive) {
  at::Tensor blob;
  if (archive.try_read(kArchiveKey, blob, /*is_buffer=*/true)) {
    load_state(bytes_in(blob).value());
    for (std::size_t g = 0; g < param_groups_.size(); ++g) {
      torch::serialize::InputArchive options;
      archive.read(group_key(g), options);
      param_groups_[g].options().serialize(options);
    }
    return;
  }
  const auto states = read_plain(archive, param_groups_);
  bind();
  for (std::size_t i = 0; i < states.size(); ++i) {
    if (states[i].step == 0) continue;
    const auto dtype = dtype_of(impl_->parameters.tensors()[i], impl_->fused.parameters()[i].name).value();
    impl_->fused.set_parameter_state(i, dtype, states[i]).check();
  }
}

namespace {

/// Under which an archive keeps the form of a method, true for the authors'.
constexpr const char* kReleasedKey = "released";

template <class Options>
void write_fields(torch::serialize::OutputArchive& archive, const Options& options) {
  for_each_setting(options, [&](const Setting& setting, const auto& value) {
    using Value = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_arithmetic_v<Value>) {
      archive.write(std::string(setting.name), c10::IValue(value));
    } else if constexpr (std::is_same_v<Value, Compat>) {
      archive.write(kReleasedKey, c10::IValue(value == Compat::released));
    } else {
      static_assert(std::is_same_v<Value, std::vector<AdamMiniOptions::Override>>,
                    "an archive has no form for this setting");  // overrides belong to the model
    }
  });
}

template <class Options>
void read_fields(torch::serialize::InputArchive& archive, Options& options) {
  for_each_setting(options, [&](const Setting& setting, auto& field) {
    using Value = std::remove_reference_t<decltype(field)>;
    c10::IValue value;
    if constexpr (std::is_arithmetic_v<Value>) {
      archive.read(std::string(setting.name), value);
      field = value.to<Value>();
    } else if constexpr (std::is_same_v<Value, Compat>) {
      archive.read(kReleasedKey, value);
      field = value.toBool() ? Compat::released : Compat::robust;
    }
  });
}

}  // namespace

namespace detail {

void write_options(torch::serialize::OutputArchive& archive, const OptimizerOptions& options) {
  std::visit([&](const auto& typed) { write_fields(archive, typed); }, options);
}

OptimizerOptions read_options(torch::serialize::InputArchive& archive, OptimizerOptions options) {
  std::visit([&](auto& typed) { read_fields(archive, typed); }, options);
  return options;
}

void no_plain_state(const char* title) {
  throw Error({StatusCode::corrupt_data, std::string("the archive holds no state of gradstab's ") + title +
                                             ", and LibTorch has none of its own"});
}

}  // namespace detail

namespace {

using States = std::vector<Optimizer::ParameterState>;

/// Loads the archive into LibTorch's own optimizer and copies every parameter's state out of it.
template <class Plain, class PlainOptions, class ParamState, class CopyState>
States read_with(torch::serialize::InputArchive& archive,
                 const std::vector<torch::optim::OptimizerParamGroup>& groups, CopyState copy_state) {
  Plain plain(groups, PlainOptions());
  plain.load(archive);
  States states;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const at::Tensor& parameter : groups[g].params()) {
      const auto found = plain.state().find(state_key(parameter));
      states.emplace_back();
      if (found != plain.state().end())
        copy_state(static_cast<const ParamState&>(*found->second), parameter, states.back());
    }
  }
  return states;
}

/// Adam and AdamW have the same state under different names.
constexpr auto copy_adam_state = [](const auto& from, const at::Tensor& parameter,
                                    Optimizer::ParameterState& state) {
  state.step = from.step();
  state.values = {in_memory_order(from.exp_avg(), parameter), in_memory_order(from.exp_avg_sq(), parameter)};
  if (from.max_exp_avg_sq().defined())
    state.values.push_back(in_memory_order(from.max_exp_avg_sq(), parameter));
};

constexpr auto copy_sgd_state = [](const torch::optim::SGDParamState& from, const at::Tensor& parameter,
                                   Optimizer::ParameterState& state) {
  if (!from.momentum_buffer().defined()) return;
  state.step = 1;  // SGD does not count; what matters is that the buffer is not empty
  state.values = {in_memory_order(from.momentum_buffer(), parameter)};
};

template <class AnyAdam>
OptimizerOptions adam_options(const AnyAdam& options, bool decoupled) {
  AdamOptions result;
  result.lr = options.lr();
  std::tie(result.beta1, result.beta2) = options.betas();
  result.epsilon = options.eps();
  result.weight_decay = options.weight_decay();
  result.amsgrad = options.amsgrad();
  result.decoupled = decoupled;
  return result;
}

}  // namespace

OptimizerOptions library_options(const torch::optim::SGDOptions& options) {
  return SgdOptions{.lr = options.lr(),
                    .momentum = options.momentum(),
                    .dampening = options.dampening(),
                    .weight_decay = options.weight_decay(),
                    .nesterov = options.nesterov()};
}

OptimizerOptions library_options(const torch::optim::AdamOptions& options) {
  return adam_options(options, false);
}

OptimizerOptions library_options(const torch::optim::AdamWOptions& options) {
  return adam_options(options, true);
}

namespace detail {

template <>
States read_plain<torch::optim::SGDOptions>(torch::serialize::InputArchive& archive,
                                            const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  struct Options : torch::optim::SGDOptions {
    Options() : SGDOptions(1e-3) {}
  };
  return read_with<torch::optim::SGD, Options, torch::optim::SGDParamState>(archive, groups, copy_sgd_state);
}

template <>
States read_plain<torch::optim::AdamOptions>(torch::serialize::InputArchive& archive,
                                             const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  return read_with<torch::optim::Adam, torch::optim::AdamOptions, torch::optim::AdamParamState>(
      archive, groups, copy_adam_state);
}

template <>
States read_plain<torch::optim::AdamWOptions>(torch::serialize::InputArchive& archive,
                                              const std::vector<torch::optim::OptimizerParamGroup>& groups) {
  return read_with<torch::optim::AdamW, torch::optim::AdamWOptions, torch::optim::AdamWParamState>(
      archive, groups, copy_adam_state);
}

}  // namespace detail

}  // namespace gradstab
