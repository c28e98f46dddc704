#include "lab/train/optimizer_factory.hpp"

#include <utility>

namespace gradstab::lab {
namespace {

NonFinitePolicy nonfinite_policy(const TrainOptions& options) {
  if (options.nonfinite == "skip_tensor") return NonFinitePolicy::skip_tensor;
  if (options.nonfinite == "skip_step") return NonFinitePolicy::skip_step;
  if (options.nonfinite == "raise") return NonFinitePolicy::raise;
  if (options.nonfinite == "pass_through") return NonFinitePolicy::pass_through;
  // A baseline should behave as its users know it; the method should show what it does by default.
  const bool stabilizes = options.transform.find("stabilize") != std::string::npos;
  return stabilizes ? NonFinitePolicy::skip_tensor : NonFinitePolicy::pass_through;
}

template <class Optimizer, class OptimizerOptions>
TrainingOptimizer make(const TrainOptions& options, const torch::nn::Module& model,
                       OptimizerOptions settings) {
  auto optimizer = std::make_unique<Stabilized<Optimizer>>(make_transform(options),
                                                           RunOptions{.nonfinite = nonfinite_policy(options)},
                                                           model.named_parameters(), settings);
  auto* stabilized = optimizer.get();
  return {std::move(optimizer), [stabilized]() -> const StepReport& { return stabilized->report(); },
          [stabilized]() -> const ParameterSet& { return stabilized->registered_parameters(); }};
}

}  // namespace

GradientTransform make_transform(const TrainOptions& options) {
  StabilizerOptions settings = options.form == "paper" ? StabilizerOptions::paper() : StabilizerOptions();
  settings.gamma1 = options.gamma1;
  settings.gamma2 = options.gamma2;
  settings.robust_kappa = options.kappa;
  const Units units = options.granularity == "row"     ? Units::per_row()
                      : options.granularity == "model" ? Units::whole_model()
                                                       : Units::per_tensor();
  std::vector<GradientTransform> links;
  links.push_back(record_norms());
  if (options.transform.starts_with("clip")) links.push_back(clip_by_global_norm(options.max_norm));
  if (options.transform.ends_with("stabilize")) links.push_back(stabilize(settings, units));
  return chain_of(std::move(links));
}

TrainingOptimizer make_optimizer(const TrainOptions& options, const torch::nn::Module& model) {
  const auto betas = std::make_tuple(options.beta1, options.beta2);
  if (options.optimizer == "sgd") {
    return make<torch::optim::SGD>(
        options, model,
        torch::optim::SGDOptions(options.lr).momentum(options.beta1).weight_decay(options.weight_decay));
  }
  if (options.optimizer == "adam") {
    return make<torch::optim::Adam>(options, model,
                                    torch::optim::AdamOptions(options.lr)
                                        .betas(betas)
                                        .eps(options.adam_epsilon)
                                        .weight_decay(options.weight_decay));
  }
  return make<torch::optim::AdamW>(options, model,
                                   torch::optim::AdamWOptions(options.lr)
                                       .betas(betas)
                                       .eps(options.adam_epsilon)
                                       .weight_decay(options.weight_decay));
}

}  // namespace gradstab::lab
