// Fused, stabilized optimizers as LibTorch optimizers.
//
//   gradstab::FusedAdamW optimizer(model->named_parameters(), torch::optim::AdamWOptions(1e-3));
//
// is a torch::optim::Optimizer: learning-rate schedulers, parameter groups, zero_grad, closures, torch::save
// and torch::load work. GradientStabilizer is in front unless another transform, or none, is asked for. A
// checkpoint of LibTorch's own optimizer of the same kind can be loaded.
#pragma once

#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/optimizer.h>
#include <torch/optim/sgd.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "gradstab/libtorch.hpp"
#include "gradstab/optimizer.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {

/// Settings of a fused optimizer beside its own options.
struct FusedSettings {
  std::optional<GradientTransform> transform = stabilize();  ///< std::nullopt: the plain optimizer
  OptimizerRunOptions run = {};
};

/// The part that all fused optimizers share. Users name one of the types below.
class FusedOptimizer : public torch::optim::Optimizer {
 public:
  ~FusedOptimizer() override;

  /// One step over all parameters with a gradient. With a closure, the gradients that it computes are used.
  /// Returns the closure's loss. Throws gradstab::Error.
  torch::Tensor step(LossClosure closure = nullptr) override;

  /// Raw and stabilized norm, factor and flags of each tensor in the last step. Waits if the parameters are
  /// on a device.
  const StepReport& report() const;

  /// Where the last step was made: see GradientBridge::backend_name.
  std::string backend_name() const;

  /// The names and shapes behind the entries of report().tensors.
  const ParameterSet& registered_parameters() const noexcept;

  /// State of every parameter and of the transform, as bytes that hold no code (docs/state-format.md).
  /// Settings are not part of it. Use this for files from others: loading a LibTorch archive runs the code in
  /// it.
  std::vector<std::byte> save_state() const;
  /// Restores what save_state gave, for parameters of the same names and shapes. Throws gradstab::Error,
  /// after which the state is as it was.
  void load_state(std::span<const std::byte> bytes);

  void save(torch::serialize::OutputArchive& archive) const override;
  /// Reads what `save` wrote, or a checkpoint of LibTorch's own optimizer of this kind. With the latter the
  /// options stay as they are here, as in LibTorch's own load.
  void load(torch::serialize::InputArchive& archive) override;

 protected:
  FusedOptimizer(std::vector<torch::optim::OptimizerParamGroup> groups,
                 std::unique_ptr<torch::optim::OptimizerOptions> defaults, OptimizerOptions kind,
                 FusedSettings settings);

  void set_names(const NamedParameters& names);

  /// Registers the parameters and settings of the groups as they are now, if they have changed.
  void bind() const;

  /// Settings of one group as the library has them.
  virtual OptimizerOptions convert(const torch::optim::OptimizerOptions& options) const = 0;
  /// State of LibTorch's own optimizer of this kind, one entry per parameter in the order of the groups, and
  /// its options into `groups`. Throws gradstab::Error if there is no such optimizer.
  virtual std::vector<gradstab::Optimizer::ParameterState> read_plain(
      torch::serialize::InputArchive& archive,
      const std::vector<torch::optim::OptimizerParamGroup>& groups) = 0;

 private:
  friend class BackwardStepper;

  struct Impl;  // of types that are not installed
  std::unique_ptr<Impl> impl_;
};

namespace detail {

void write_options(torch::serialize::OutputArchive& archive, const OptimizerOptions& options);
/// Reads what write_options wrote for options of the same kind as `options`; overrides stay as they are in
/// `options`.
OptimizerOptions read_options(torch::serialize::InputArchive& archive, OptimizerOptions options);
[[noreturn]] void no_plain_state(const char* title);

}  // namespace detail

/// Options of an optimizer that LibTorch has no class for: those of the library. `Derived` says where it
/// holds them (`kSettings`) and its name in messages (`kTitle`).
template <class Derived>
struct LibraryTorchOptions : torch::optim::OptimizerCloneableOptions<Derived> {
  /// As the library has them.
  auto& settings() { return static_cast<Derived*>(this)->*Derived::kSettings; }
  const auto& settings() const { return static_cast<const Derived*>(this)->*Derived::kSettings; }

  double get_lr() const override { return settings().lr; }
  void set_lr(double lr) override { settings().lr = lr; }
  void serialize(torch::serialize::InputArchive& archive) override {
    using Options = std::remove_reference_t<decltype(settings())>;
    settings() = std::get<Options>(detail::read_options(archive, settings()));
  }
  void serialize(torch::serialize::OutputArchive& archive) const override {
    detail::write_options(archive, settings());
  }
};

/// Options of Lion; fields as in LionOptions.
struct LionTorchOptions : LibraryTorchOptions<LionTorchOptions> {
  explicit LionTorchOptions(double lr = 1e-4) { lion.lr = lr; }
  explicit LionTorchOptions(LionOptions options) : lion(options) {}
  LionOptions lion;
  static constexpr auto kSettings = &LionTorchOptions::lion;
  static constexpr const char* kTitle = "Lion";
};

/// Options of Adam-mini; fields as in AdamMiniOptions. Overrides are not saved: they belong to the model.
struct AdamMiniTorchOptions : LibraryTorchOptions<AdamMiniTorchOptions> {
  explicit AdamMiniTorchOptions(AdamMiniOptions options = {}) : mini(std::move(options)) {}
  AdamMiniOptions mini;
  static constexpr auto kSettings = &AdamMiniTorchOptions::mini;
  static constexpr const char* kTitle = "Adam-mini";
};

/// Options of Adam or AdamW beyond LibTorch's own, such as Stable-SPAM's momentum reset; fields as in
/// AdamOptions. For Stable-SPAM, the transform is chain(adaptive_value_clip(), adaptive_norm()).
struct AdamWithResetsTorchOptions : LibraryTorchOptions<AdamWithResetsTorchOptions> {
  explicit AdamWithResetsTorchOptions(AdamOptions options = AdamOptions::stable_spam()) : adam(options) {}
  AdamOptions adam;
  static constexpr auto kSettings = &AdamWithResetsTorchOptions::adam;
  static constexpr const char* kTitle = "Adam with resets";
};

/// Options of SPAM; fields as in SpamOptions.
struct SpamTorchOptions : LibraryTorchOptions<SpamTorchOptions> {
  explicit SpamTorchOptions(SpamOptions options = {}) : spam(options) {}
  SpamOptions spam;
  static constexpr auto kSettings = &SpamTorchOptions::spam;
  static constexpr const char* kTitle = "SPAM";
};

/// The same settings as the library has them.
OptimizerOptions library_options(const torch::optim::SGDOptions& options);
OptimizerOptions library_options(const torch::optim::AdamOptions& options);
OptimizerOptions library_options(const torch::optim::AdamWOptions& options);
template <class Derived>
OptimizerOptions library_options(const LibraryTorchOptions<Derived>& options) {
  return options.settings();
}

namespace detail {

/// LibraryTorchOptions, for which LibTorch has no optimizer.
template <class Options>
concept OptionsOfTheLibrary = requires {
  Options::kSettings;
};

/// State of LibTorch's own optimizer with these options out of an archive: see
/// FusedOptimizer::read_plain.
template <class Options>
std::vector<gradstab::Optimizer::ParameterState> read_plain(
    torch::serialize::InputArchive& archive, const std::vector<torch::optim::OptimizerParamGroup>& groups);
template <OptionsOfTheLibrary Options>
std::vector<gradstab::Optimizer::ParameterState> read_plain(
    torch::serialize::InputArchive&, const std::vector<torch::optim::OptimizerParamGroup>&) {
  no_plain_state(Options::kTitle);
}

}  // namespace detail

/// A fused optimizer whose groups have options of this type: torch::optim::SGDOptions, AdamOptions,
/// AdamWOptions, or one of those above.
template <class Options>
class Fused final : public FusedOptimizer {
 public:
  /// `parameters` are tensors, parameter groups, or a module's named_parameters(), whose names then key the
  /// state; Adam-mini needs the names. Throws gradstab::Error on invalid settings.
  template <class Parameters>
  explicit Fused(Parameters&& parameters, Options options = Options(), FusedSettings settings = {})
      : FusedOptimizer(groups_of(std::forward<Parameters>(parameters)), std::make_unique<Options>(options),
                       library_options(options), std::move(settings)) {
    if constexpr (std::is_convertible_v<Parameters, const NamedParameters&>) set_names(parameters);
    bind();
  }

 private:
  template <class Parameters>
  static std::vector<torch::optim::OptimizerParamGroup> groups_of(Parameters&& parameters) {
    if constexpr (std::is_convertible_v<Parameters, const NamedParameters&>) {
      return {torch::optim::OptimizerParamGroup(parameters.values())};
    } else if constexpr (std::is_convertible_v<Parameters, std::vector<at::Tensor>>) {
      return {
          torch::optim::OptimizerParamGroup(std::vector<at::Tensor>(std::forward<Parameters>(parameters)))};
    } else {
      return std::forward<Parameters>(parameters);
    }
  }

  OptimizerOptions convert(const torch::optim::OptimizerOptions& options) const override {
    return library_options(static_cast<const Options&>(options));
  }
  std::vector<gradstab::Optimizer::ParameterState> read_plain(
      torch::serialize::InputArchive& archive,
      const std::vector<torch::optim::OptimizerParamGroup>& groups) override {
    return detail::read_plain<Options>(archive, groups);
  }
};

using FusedSGD = Fused<torch::optim::SGDOptions>;
using FusedAdam = Fused<torch::optim::AdamOptions>;
using FusedAdamW = Fused<torch::optim::AdamWOptions>;
using FusedLion = Fused<LionTorchOptions>;
using FusedAdamMini = Fused<AdamMiniTorchOptions>;
using FusedSpam = Fused<SpamTorchOptions>;
using FusedAdamWithResets = Fused<AdamWithResetsTorchOptions>;

/// Updates parameters during backward, each as soon as its gradient is complete, and then frees the gradient.
/// Only a few gradients exist at any time, at worst the largest ones.
///
///   gradstab::BackwardStepper stepper(optimizer);
///   loss.backward();             // updates the parameters; no optimizer.step(), no zero_grad()
///
/// A parameter that is used several times (tied embeddings) is updated once, after all its uses. With
/// gradient accumulation, hold back all but the last backward: `stepper.hold(true); ...;
/// stepper.hold(false);`.
class BackwardStepper {
 public:
  enum class Mode {
    update,  ///< measure, stabilize, update, free
    /// Only measure, while the gradient is in cache; optimizer.step() then reads each gradient once, or twice
    /// if autograd knows that it was written to in between.
    measure,
  };

  /// Throws gradstab::Error if the optimizer's transform needs all tensors (mode `update`); the message says
  /// which method and what to use. The optimizer must outlive this object; parameters added to it later are
  /// not updated.
  explicit BackwardStepper(FusedOptimizer& optimizer, Mode mode = Mode::update);
  /// Backward is then an ordinary one again.
  ~BackwardStepper();
  BackwardStepper(const BackwardStepper&) = delete;
  BackwardStepper& operator=(const BackwardStepper&) = delete;

  /// While held, backward only accumulates gradients.
  void hold(bool held) noexcept;

  /// What happened since the last call, or since construction: one entry per parameter of the optimizer.
  /// Valid until the next backward.
  const StepReport& take_report();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gradstab
