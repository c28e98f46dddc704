// The paper's tables on image classification.
#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/plans.hpp"
#include "lab/reproduce/presets.hpp"

namespace gradstab::lab {
namespace {

/// The six methods, robust moments and the controls. How large gradients are matters beside Adam's weight
/// decay.
const std::vector<std::string_view> kArms = {
    "none", "clip_by_value", "clip", "adaptive_clip", "zclip", "stabilize", "robust", "normalize", "scale"};

std::string horizon_of(Scale scale) {
  return scale == Scale::paper ? "published" : "short";
}

/// The runs of a classifier. `settings` go over its recipe.
Part part_of(Scale scale, std::string_view classifier, const Settings& settings,
             const std::vector<Context>& contexts) {
  const Context model = {{{"model", std::string(classifier)}}, {}};
  return {std::string(classifier), horizon_of(scale), joined(vision_preset(scale, classifier), settings),
          arms_named(kArms), cross({model}, contexts)};
}

/// Adam adds so much of the weights to the gradients. Small models on small pictures need more of it to show
/// what the paper's do.
std::vector<Context> weight_decays(Scale scale, std::string_view classifier) {
  if (scale != Scale::paper) return over("weight_decay", {"0", "0.01", "0.1"});
  return classifier == "vit" ? over("weight_decay", {"0", "0.0001", "0.0005"})
                             : over("weight_decay", {"0", "0.0001"});
}

/// The tables are at one rate on the small models, and at the recipe's as published.
Settings rate_of(Scale scale) {
  return scale == Scale::paper ? Settings() : Settings{{"lr", "0.001"}};
}

Plan weight_decay_plan(Scale scale, const std::vector<std::string_view>& classifiers) {
  Plan plan = vision_plan(scale);
  for (const std::string_view classifier : classifiers)
    plan.parts.push_back(part_of(scale, classifier, joined({{"optimizer", "adam"}}, rate_of(scale)),
                                 weight_decays(scale, classifier)));
  return plan;
}

}  // namespace

Plan table_2_plan(Scale scale) {
  Plan plan = vision_plan(scale);
  // AdamW with the recipe's weight decay.
  const std::vector<Context> optimizers = {
      {{{"optimizer", "adamw"}}, {{"optimizer", "adamw"}}},
      {{{"optimizer", "adam"}}, {{"optimizer", "adam"}, {"weight_decay", "0"}}}};
  for (const std::string_view classifier : kClassifiers)
    plan.parts.push_back(part_of(scale, classifier, rate_of(scale), optimizers));
  return plan;
}

Plan table_3_plan(Scale scale) {
  return weight_decay_plan(scale, {"vit"});
}

Plan table_9_plan(Scale scale) {
  return weight_decay_plan(scale, {"convnext", "resnet"});
}

}  // namespace gradstab::lab
