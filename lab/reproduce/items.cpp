#include "lab/reproduce/items.hpp"

#include <algorithm>

#include "lab/reproduce/claims.hpp"
#include "lab/reproduce/plans.hpp"

namespace gradstab::lab {
namespace {

using What = SeriesPlot::What;

Plots figure_1_plots() {
  return {{{What::grad_norm, {}}, {What::evaluation_score, {}}}, {}};
}

Plots figure_4_plots() {
  return {{{What::grad_norm, {{"lr", "0.01"}}}, {What::training_loss, {{"lr", "0.01"}}}}, {{"lr", {}}}};
}

Plots figure_7_plots() {
  return {{}, {{"gamma1", {{"gamma2", "0.999"}}}, {"gamma2", {{"gamma1", "0.6"}}}}};
}

Plots evaluation_plots() {
  return {{{What::evaluation_score, {}}}, {}};
}

Plots corruption_plots() {
  return {{{What::evaluation_score, {{"corrupt_level", "1"}}},
           {What::evaluation_score, {{"corrupt_level", "3"}}}},
          {{"corrupt_level", {}}}};
}

Plots table_3_plots() {
  return {{{What::evaluation_score, {}}}, {{"weight_decay", {}}}};
}

Plots table_9_plots() {
  return {{}, {{"weight_decay", {{"model", "convnext"}}}, {"weight_decay", {{"model", "resnet"}}}}};
}

Plots spike_injection_plots() {
  return {{{What::training_loss, {{"spikes", "1in100"}}}, {What::evaluation_score, {{"spikes", "1in100"}}}},
          {}};
}

Plots freeze_plots() {
  return {{{What::training_loss, {{"spike", "1000"}}}, {What::training_loss, {{"spike", "10"}}}}, {}};
}

Plots instability_plots() {
  return {{{What::training_loss, {}}}, {}};
}

Plots nan_injection_plots() {
  return {{{What::training_loss, {{"nan", "1in100"}}}}, {}};
}

/// The first and the last context, or for many arms the last; of longer horizons the last, with the method
/// and the controls.
void thin_out(Part& part) {
  constexpr std::size_t kManyArms = 9;
  const bool is_short = part.horizon == "short";
  if (is_short && part.arms.size() < kManyArms) {
    if (part.contexts.size() > 2) part.contexts = {part.contexts.front(), part.contexts.back()};
    return;
  }
  part.contexts = {part.contexts.back()};
  if (is_short) return;
  std::erase_if(part.arms,
                [](const Arm& arm) { return arm.name != "none" && arm.name != "stabilize" && !arm.control; });
}

}  // namespace

Plan plan_of(const Item& item, Scale scale) {
  Plan plan = item.plan(scale);
  if (scale == Scale::smoke) std::ranges::for_each(plan.parts, thin_out);
  return plan;
}

const std::vector<Item>& all_items() {
  static const std::vector<Item> items = {
      {"figure-1", "Gradient norms and evaluation loss at a high learning rate",
       "LLaMA-130M at learning rate 3e-3: the norm explosions of AdamW, with and without clipping, vanish "
       "behind GradientStabilizer, and its loss is the lowest.",
       figure_1_plan, figure_1_claims, figure_1_plots},
      {"table-1", "Six methods, Adam and AdamW, FP16 and FP4",
       "Validation perplexity of LLaMA-130M and 350M: GradientStabilizer is best in every column, more so in "
       "FP4.",
       table_1_plan, table_1_claims, evaluation_plots, published_table_1()},
      {"table-4", "Other optimizers: Lion and Adam-mini in FP4",
       "The method lowers perplexity in front of Lion and of Adam-mini too, more than any clipping does.",
       table_4_plan, table_4_claims, evaluation_plots, published_table_4()},
      {"figure-4", "Sensitivity to the learning rate in FP4 (with figure 8)",
       "Validation loss against the learning rate: GradientStabilizer is flatter at both ends.",
       figure_4_plan, figure_4_claims, figure_4_plots},
      {"figure-7", "Sensitivity to gamma1 and gamma2",
       "Validation loss stays within 0.02 for gamma1 from 0.4 to 0.8 and gamma2 from 0.95 to 0.99999.",
       figure_7_plan, figure_7_claims, figure_7_plots},
      {"figure-5", "Forecasting: the test error of a PatchTST",
       "Test error of PatchTST on Weather, with Adam and AdamW: GradientStabilizer is lowest of six.",
       figure_5_plan, figure_5_claims, evaluation_plots},
      {"figure-6", "Forecasting with noise in 5 % of the inputs, AdamW",
       "Noise of one, two and three times the largest value: what GradientStabilizer gains grows with the "
       "level.",
       figure_6_plan, figure_6_claims, corruption_plots},
      {"figure-9", "Forecasting with noise in 5 % of the inputs, Adam",
       "The error over the epochs at each level; the paper's runs are with AdamW, these with Adam.",
       figure_9_plan, figure_9_claims, corruption_plots},
      {"table-2", "Image classification: ViT, ConvNeXt and ResNet, AdamW and Adam",
       "ImageNet-1K top-1 of ViT-B, ConvNeXt-T and ResNet-50: GradientStabilizer is first or second of six "
       "in "
       "every column.",
       table_2_plan, table_2_claims, evaluation_plots, published_table_2()},
      {"table-3", "Image classification: Adam and L2 weight decay, ViT",
       "Top-1 of ViT-B with Adam and L2 weight decay: without a method it loses a third, with clipping more, "
       "with GradientStabilizer next to nothing.",
       table_3_plan, table_3_claims, table_3_plots, published_table_3()},
      {"table-9", "Image classification: Adam and L2 weight decay, ConvNeXt and ResNet",
       "The same of ConvNeXt-T and ResNet-50. The paper's tables 3 and 9 hold these columns together.",
       table_9_plan, table_9_claims, table_9_plots, published_table_9()},
      {"figure-3", "Reinforcement learning: PPO on HalfCheetah, Adam and AdamW",
       "Return over the epochs on HalfCheetah-v4: GradientStabilizer is highest of six.", figure_3_plan,
       figure_3_claims, evaluation_plots},
      {"figure-10", "Reinforcement learning: PPO on Ant, Hopper and Walker2d, AdamW",
       "Highest on Ant and Hopper; on Walker2d, where clipping hurts, equal to no method.", figure_10_plan,
       figure_10_claims, evaluation_plots},
      {"spike-injection", "Gradients multiplied by 1000 in 1 % of the updates",
       "Not in the paper. Which methods recover from injected spikes, at what price and how fast.",
       spike_injection_plan, spike_injection_claims, spike_injection_plots},
      {"freeze", "One spike of 10, 100 or 1000 times the norm",
       "Not in the paper. After a huge spike the published rule keeps a tensor's steps small until its "
       "second moment has forgotten it; robust moments do not.",
       freeze_plan, freeze_claims, freeze_plots},
      {"instability", "Where training is unstable by itself, and where it is not",
       "Not in the paper. A calm regime against ten times its learning rate, and that without warm-up, in "
       "FP4, or in a model twice as deep.",
       instability_plan, instability_claims, instability_plots},
      {"nan-injection", "One NaN in one gradient in 1 % of the updates",
       "Not in the paper. A NaN destroys a run whose optimizer sees it; skipping the tensor or the step "
       "saves it.",
       nan_injection_plan, nan_injection_claims, nan_injection_plots},
  };
  return items;
}

const Item* find_item(std::string_view name) {
  const auto found = std::ranges::find(all_items(), name, &Item::name);
  return found == all_items().end() ? nullptr : &*found;
}

}  // namespace gradstab::lab
