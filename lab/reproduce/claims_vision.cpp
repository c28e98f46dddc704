#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/claims.hpp"

namespace gradstab::lab {
namespace {

const std::vector<std::string> kControls = {"normalize", "scale", "robust"};

Settings at(const std::string& model, const std::string& weight_decay) {
  return {{"model", model}, {"weight_decay", weight_decay}};
}

/// What `arm` loses to the weight decay, beyond what `reference` loses to it: below zero if less.
Effect less_lost(const std::string& arm, const std::string& reference, const std::string& model,
                 const std::string& weight_decay) {
  return {
      arm_named(arm).label + " against " + arm_named(reference).label + ", " + model + ", at " + weight_decay,
      {{1.0, mean_score, arm, at(model, weight_decay)},
       {-1.0, mean_score, arm, at(model, "0")},
       {-1.0, mean_score, reference, at(model, weight_decay)},
       {1.0, mean_score, reference, at(model, "0")}}};
}

/// The weight decays of all scales: a plan has some of them.
const std::vector<std::string> kWeightDecays = {"0.01", "0.1", "0.0001", "0.0005"};

/// The claims about one table, over its models. An effect without runs is left out by the judge.
std::vector<Claim> weight_decay_claims(const std::string& source, const std::vector<std::string>& models) {
  Claim accuracy{"With L2 weight decay, more right than without the method and with every clipping rival",
                 source,
                 kPoints,
                 {}};
  Claim robust{"It loses less to L2 weight decay than no method does", source, kPoints, {}};
  Claim sensitive{
      "Clipping makes Adam lose more to L2 weight decay than no method does", source, kPoints, {}};
  Claim scale{
      "It is a matter of scale: without any method, gradients times 5 lose less to L2 weight decay, too",
      kOurs,
      kPoints,
      {}};
  for (const std::string& model : models) {
    for (const std::string& weight_decay : kWeightDecays) {
      for (Effect& effect : against(mean_score, kMethod, kRivals, kControls, at(model, weight_decay))) {
        effect.label += ", " + model + ", at " + weight_decay;
        accuracy.effects.push_back(std::move(effect));
      }
      robust.effects.push_back(less_lost(kMethod, "none", model, weight_decay));
      robust.effects.push_back(less_lost(kMethod, "scale", model, weight_decay));
      robust.effects.back().control = true;
      for (const std::string& clip : kClips)
        sensitive.effects.push_back(less_lost("none", clip, model, weight_decay));
      scale.effects.push_back(less_lost("scale", "none", model, weight_decay));
    }
  }
  return {accuracy, robust, sensitive, scale};
}

}  // namespace

std::vector<Claim> table_2_claims() {
  std::vector<Claim> claims;
  for (const char* optimizer : {"adamw", "adam"}) {
    Claim claim{std::string("With ") + (optimizer == std::string("adam") ? "Adam" : "AdamW") +
                    ", more right than without it and with every clipping rival, in every model",
                "the paper's table 2",
                kPoints,
                {}};
    for (const char* model : {"vit", "convnext", "resnet"})
      for (Effect& effect :
           against(mean_score, kMethod, kRivals, kControls, {{"model", model}, {"optimizer", optimizer}})) {
        effect.label += std::string(", ") + model;
        claim.effects.push_back(std::move(effect));
      }
    claims.push_back(std::move(claim));
  }
  return claims;
}

std::vector<Claim> table_3_claims() {
  return weight_decay_claims("the paper's table 3", {"vit"});
}

std::vector<Claim> table_9_claims() {
  return weight_decay_claims("the paper's table 9", {"convnext", "resnet"});
}

}  // namespace gradstab::lab
