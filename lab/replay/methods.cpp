#include "lab/replay/methods.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "gradstab/methods.hpp"
#include "lab/replay/quantizers.hpp"

namespace gradstab::lab {
namespace {

/// One method's maker, with what all of them need.
struct Context {
  RecordedSettings& settings;
  bool wide;
  Compat compat;
};

ReplayedMethod alone(GradientTransform transform) {
  ReplayedMethod method;
  method.transform.emplace(std::move(transform));
  return method;
}

ReplayedMethod optimizer(OptimizerOptions options, std::optional<GradientTransform> transform) {
  ReplayedMethod method;
  method.optimizer.emplace(std::move(options), std::move(transform));
  return method;
}

/// Steps between resets of Adam's moments, with which the bias corrections of the authors' code begin again.
constexpr const char* kResetGap = "update_proj_gap";

std::int64_t reset_gap(const Context& c) {
  std::int64_t interval = AdamOptions::stable_spam().reset_interval;
  c.settings.read(kResetGap, interval);
  return interval;
}

void set(MethodText& text, std::string_view name, std::string value) {
  std::erase_if(text.settings, [&](const SettingText& given) { return given.name == name; });
  text.settings.push_back({std::string(name), std::move(value)});
}

/// Reads what a case says of this method, under the names of the authors' code and under those of this
/// library. `epsilon`, where it is not empty, is the only name of the setting epsilon. Settings of `text` are
/// the defaults.
void read_settings(const Context& c, const MethodInfo& info, MethodText& text,
                   std::string_view epsilon = {}) {
  for (const SettingInfo& known : info.settings) {
    const Setting& setting = known.setting;
    if (setting.name == "compat") {
      set(text, setting.name, std::string(choice_name(c.compat)));
      continue;
    }
    const bool renamed = setting.name == "epsilon" && !epsilon.empty();
    // Where it is Adam's that Stable-SPAM resets, the name is read by make_stable_spam.
    const bool of_adam = setting.published == kResetGap;
    for (const std::string_view name : {setting.name, of_adam ? "" : renamed ? epsilon : setting.published}) {
      if (name.empty() || (renamed && name != epsilon)) continue;
      if (auto value = c.settings.text(std::string(name), known.kind))
        set(text, setting.name, *std::move(value));
    }
  }
}

/// The settings of a recorded method of this library's name.
MethodText method_text(const Context& c, std::string_view name) {
  MethodText text{std::string(name), {}};
  read_settings(c, *find_method(name).value(), text);
  if (name == "adaptive_value_clip") {
    const std::int64_t interval = reset_gap(c);
    if (c.compat == Compat::released) set(text, "reset_interval", std::to_string(interval));
  }
  return text;
}

Result<GradientTransform> make(const MethodText& text) {
  return make_chain(std::span(&text, 1));
}

/// stabilize in the form of the authors' code, with the name that epsilon has in a case.
Result<GradientTransform> make_stabilize(const Context& c, const std::string& epsilon) {
  MethodText text{"stabilize", {{"epsilon", setting_text(StabilizerOptions::released().epsilon)}}};
  read_settings(c, *find_method("stabilize").value(), text, epsilon == "eps" ? "" : epsilon);
  // Recorded float32 and float64 runs may have used different ones.
  if (c.wide && !c.settings.overridden(epsilon)) {
    if (auto value = c.settings.text(epsilon + "64", SettingKind::number)) set(text, "epsilon", *value);
  }
  return make(text);
}

AdaptiveNormOptions norm_options(const Context& c, double beta1) {
  auto options = AdaptiveNormOptions::stable_spam();
  c.settings.read("gamma1", options.gamma1);
  if (options.gamma1 < 0.0) options.gamma1 = beta1;  // as the authors' -1
  c.settings.read("gamma2", options.gamma2);
  c.settings.read("eps", options.epsilon);
  c.settings.read("total_T", options.total_steps);
  c.settings.read("eta_min", options.least_scale);
  options.compat = c.compat;
  const std::int64_t interval = reset_gap(c);
  if (c.compat == Compat::released) options.reset_interval = interval;
  return options;
}

Result<ReplayedMethod> make_transform(const Context& c, std::string_view name) {
  auto made = name == "stabilize"       ? make_stabilize(c, "eps")
              : name == "adaptive_norm" ? adaptive_norm(norm_options(c, AdamOptions().beta1))
                                        : make(method_text(c, name));
  if (!made) return made.status();
  return alone(std::move(*made));
}

/// Options of an optimizer of this library's name; `text` has what the name in a case says of them.
Result<OptimizerOptions> optimizer_options(const Context& c, MethodText text) {
  read_settings(c, *find_optimizer(text.method).value(), text);
  if (text.method == "lion") {
    bool independent = false;
    c.settings.read("decoupled_weight_decay", independent);
    auto options = make_optimizer_options(text);
    if (options && independent) {
      auto& lion = std::get<LionOptions>(*options);
      lion.decay_over_lr = lion.lr;
    }
    return options;
  }
  return make_optimizer_options(text);
}

/// Stable-SPAM multiplies Adam's beta1 by the same cosine as gamma1.
Result<ReplayedMethod> make_stable_spam(const Context& c) {
  const auto defaults = AdamOptions::stable_spam();
  const auto options = optimizer_options(
      c, {"adam", {{"decoupled", "true"}, {"reset_interval", std::to_string(defaults.reset_interval)}}});
  if (!options) return options.status();
  auto adam = std::get<AdamOptions>(*options);
  adam.reset_interval = reset_gap(c);
  const auto norm = norm_options(c, adam.beta1);
  auto clip = make(method_text(c, "adaptive_value_clip"));
  if (!clip) return clip.status();
  auto method = optimizer(adam, chain(std::move(*clip), adaptive_norm(norm)));
  method.writes_gradients = true;
  method.before_step = [adam, norm](Optimizer& stepped, std::int64_t step) {
    auto now = adam;
    now.beta1 *= norm.scale_at(step);
    stepped.set_options(0, now).check();
  };
  return method;
}

/// An optimizer by its name in recorded cases.
struct RecordedOptimizer {
  std::string_view name;
  std::string_view also;  ///< another that is in use
  std::string_view summary;
  MethodText text;  ///< its name here, and what the recorded name says of its settings
};

const std::vector<RecordedOptimizer>& recorded_optimizers() {
  static const std::vector<RecordedOptimizer> list = [] {
    std::vector<RecordedOptimizer> result;
    for (const MethodInfo& info : optimizers())
      result.push_back({info.published, info.name, info.summary, {std::string(info.name), {}}});
    result.push_back({"amsgrad", "", "AMSGrad", {"adam", {{"amsgrad", "true"}}}});
    return result;
  }();
  return list;
}

/// An optimizer with stabilize in front, under the name that it has in recorded cases.
constexpr std::string_view kStabilized = "gs_";

const RecordedOptimizer* find_recorded(std::string_view name) {
  if (name == "gs_adamw_nan") name = "gs_adamw";
  if (name.starts_with(kStabilized)) name.remove_prefix(kStabilized.size());
  const auto& list = recorded_optimizers();
  const auto found = std::ranges::find_if(
      list, [&](const RecordedOptimizer& entry) { return entry.name == name || entry.also == name; });
  return found == list.end() ? nullptr : &*found;
}

Result<ReplayedMethod> make_optimizer(const Context& c, std::string_view name,
                                      const RecordedOptimizer& recorded) {
  auto options = optimizer_options(c, recorded.text);
  if (!options) return options.status();
  std::optional<GradientTransform> transform;
  if (name.starts_with(kStabilized)) {
    auto made = make_stabilize(c, "eps_gs");
    if (!made) return made.status();
    transform = std::move(*made);
  }
  return optimizer(std::move(*options), std::move(transform));
}

/// The optimizer is a setting here, and its defaults are those of the recorded runs: no weight decay.
Result<ReplayedMethod> make_quadratic(const Context& c) {
  std::string name = "adamw";
  c.settings.read("optimizer", name);
  auto options = name == "sgd" ? optimizer_options(c, {"sgd", {}})
                               : optimizer_options(c, {"adam", {{"decoupled", "true"}}});
  if (!options) return options.status();
  auto made = make_stabilize(c, "eps_gs");
  if (!made) return made.status();
  return optimizer(std::move(*options), std::move(*made));
}

/// A method of this library by the name that it has here or in recorded cases; null if there is none.
const MethodInfo* find_transform(std::string_view name) {
  const auto found = std::ranges::find(methods(), name, &MethodInfo::published);
  if (found != methods().end()) return &*found;
  const auto own = find_method(name);
  return own ? *own : nullptr;
}

/// "zclip(z_threshold=3)+stabilize": a chain in the words of this library.
bool is_text(std::string_view name) {
  return name.find_first_of("(+") != std::string_view::npos;
}

Result<ReplayedMethod> make_method(const Context& c, std::string_view name) {
  if (is_text(name)) {
    auto made = transform_from_text(name);
    if (!made) return made.status();
    return alone(std::move(*made));
  }
  if (name == "stable_spam") return make_stable_spam(c);
  if (name == "gs_quadratic") return make_quadratic(c);
  if (const MethodInfo* const info = find_transform(name)) return make_transform(c, info->name);
  if (const RecordedOptimizer* const recorded = find_recorded(name))
    return make_optimizer(c, name, *recorded);
  return check_method(name);
}

}  // namespace

Result<Compat> read_compat(RecordedSettings& settings) {
  std::string compat = "robust";
  settings.read("compat", compat);
  Compat value{};
  if (choice_named(compat, value)) return value;
  return Status(StatusCode::invalid_argument,
                fmt::format("setting compat must be robust or released, got '{}'", compat));
}

const std::vector<MethodName>& replayed_methods() {
  static const std::vector<MethodName> names = [] {
    std::vector<MethodName> list;
    for (const MethodInfo& info : methods())
      list.push_back({std::string(info.published), std::string(info.summary)});
    for (const RecordedOptimizer& recorded : recorded_optimizers())
      list.push_back({std::string(recorded.name), std::string(recorded.summary)});
    list.push_back({"stable_spam", "Stable-SPAM"});
    for (const RecordedOptimizer& recorded : recorded_optimizers()) {
      if (recorded.name != "amsgrad" && recorded.name != "spam")
        list.push_back({fmt::format("{}{}", kStabilized, recorded.name),
                        fmt::format("stabilize in front of {}", recorded.name)});
    }
    list.push_back({"gs_quadratic", "stabilize in front of AdamW or SGD on a quadratic"});
    for (const MethodName& name : quantizer_methods()) list.push_back(name);
    return list;
  }();
  return names;
}

Status check_method(std::string_view name) {
  if (is_text(name)) return parse_transform(name).status();
  const bool known = is_quantizer(name) || name == "stable_spam" || name == "gs_quadratic" ||
                     find_transform(name) != nullptr || find_recorded(name) != nullptr;
  if (known) return {};
  std::string list;
  for (const MethodName& method : replayed_methods()) list += (list.empty() ? "" : ", ") + method.name;
  return {StatusCode::invalid_argument, fmt::format("unknown method '{}'; known are {}", name, list)};
}

Result<ReplayedMethod> make_replayed_method(std::string_view name, RecordedSettings& settings, bool wide) {
  GRADSTAB_RETURN_IF_ERROR(check_method(name));
  const auto compat = read_compat(settings);
  if (!compat) return compat.status();
  const bool released = *compat == Compat::released;
  std::string nonfinite = released ? "pass_through" : "skip_tensor";
  settings.read("nonfinite", nonfinite);
  NonFinitePolicy policy{};
  if (!choice_named(nonfinite, policy)) {
    return Status(
        StatusCode::invalid_argument,
        fmt::format("setting nonfinite must be skip_tensor, skip_step, raise or pass_through, got '{}'",
                    nonfinite));
  }
  auto method = make_method({settings, wide, *compat}, name);
  // A value that could not be read is what is wrong, whatever the rest then came to.
  GRADSTAB_RETURN_IF_ERROR(settings.status());
  if (!method) return method;
  method->nonfinite = policy;
  return method;
}

}  // namespace gradstab::lab
