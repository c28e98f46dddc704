// The list of methods and the list of optimizers.
#include "gradstab/methods.hpp"

#include <algorithm>
#include <functional>
#include <type_traits>
#include <utility>

#include "core/base/field_count.hpp"
#include "core/base/setting_text.hpp"
#include "core/transform/transform_access.hpp"
#include "core/transform/transform_impl.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {
namespace {

/// What the list says of a method in words.
struct Words {
  std::string_view name;
  std::string_view formerly;
  std::string_view published;
  std::string_view summary;
};

/// A method or optimizer: what is known of it, and how it is made from texts.
template <class Made>
struct Entry {
  MethodInfo info;
  std::function<Result<Made>(const MethodText&)> make;
  std::function<Result<MethodText>(const MethodText&)> restate;  ///< without what is the default
};

template <class Options>
void describe(const Options& defaults, std::vector<SettingInfo>& settings) {
  static_assert(detail::kEveryFieldIsListed<Options>, "visit_settings leaves a field out");
  for_each_setting(defaults, [&](const Setting& setting, const auto& field) {
    SettingInfo& info =
        settings.emplace_back(SettingInfo{setting, detail::kind_of(field), detail::text_of(field)});
    if constexpr (Choice<std::remove_cvref_t<decltype(field)>>) info.choices = names_of(field);
  });
}

/// Reads one setting where the options have it; otherwise `found` stays as it is.
template <class Options>
Status read_setting(std::string_view method, const SettingText& given, Options& options, bool& found) {
  Status status;
  for_each_setting(options, [&](const Setting& setting, auto& field) {
    if (found || (setting.name != given.name && (setting.formerly.empty() || setting.formerly != given.name)))
      return;
    found = true;
    const std::string expected = detail::read_text(given.text, field);
    if (expected.empty()) return;
    double number = 0.0;
    const bool quote = !detail::read_text(given.text, number).empty();
    const std::string got = quote ? detail::concat("'", given.text, "'") : given.text;
    status = {StatusCode::invalid_argument,
              detail::concat(setting.name, " of ", method, " must be ", expected, ", got ", got)};
  });
  return status;
}

Status unknown_setting(const MethodInfo& info, std::string_view name) {
  std::vector<std::string_view> names;
  for (const SettingInfo& known : info.settings) names.push_back(known.setting.name);
  std::string message = detail::concat("'", name, "' is no setting of ", info.name);
  const std::string_view like = detail::nearest(name, names);
  for (const SettingInfo& known : info.settings) {
    if (known.setting.name != like) continue;
    message += detail::concat("; did you mean ", like);
    if (!known.setting.range.text.empty())
      message += detail::concat(", which must be ", known.setting.range.text);
    return {StatusCode::invalid_argument, message + "?"};
  }
  if (names.empty()) return {StatusCode::invalid_argument, message + ", which has none"};
  for (std::size_t i = 0; i < names.size(); ++i)
    message += detail::concat(i == 0 ? ", which has " : ", ", names[i]);
  return {StatusCode::invalid_argument, message};
}

/// Reads the settings into options and units, of which `units` may be null.
template <class Options>
Status read_settings(const MethodInfo& info, const MethodText& text, Options& options, Units* units) {
  for (const SettingText& given : text.settings) {
    bool found = false;
    GRADSTAB_RETURN_IF_ERROR(read_setting(info.name, given, options, found));
    if (!found && units != nullptr) GRADSTAB_RETURN_IF_ERROR(read_setting(info.name, given, *units, found));
    if (!found) return unknown_setting(info, given.name);
  }
  return {};
}

/// The settings whose values are not the default, in the order of the list.
template <class Options>
void restate(const Options& options, const Options& defaults, MethodText& text) {
  std::vector<SettingInfo> known;
  describe(defaults, known);
  std::size_t position = 0;
  for_each_setting(options, [&](const Setting& setting, const auto& field) {
    std::string now = detail::text_of(field);
    if (now != known[position++].default_text)
      text.settings.push_back({std::string(setting.name), std::move(now)});
  });
}

MethodInfo info_of(const Words& words) {
  MethodInfo info;
  info.name = words.name;
  info.formerly = words.formerly;
  info.published = words.published.empty() ? words.name : words.published;
  info.summary = words.summary;
  return info;
}

/// What the method itself says of what it needs.
void ask(GradientTransform made, MethodInfo& info) {
  const auto& link = TransformAccess::inside(made).links.front();
  info.needs_parameters = made.needs_parameters();
  info.sees_norms_alone = made.sees_norms_alone();
  info.element_wise = link->as_element_transform() != nullptr;
  info.needs_all_tensors = link->needs_all_tensors();
}

template <class Options>
Entry<GradientTransform> method(const Words& words, GradientTransform (*make)(Options, Units)) {
  Entry<GradientTransform> entry{info_of(words), {}, {}};
  describe(Options{}, entry.info.settings);
  describe(Units{}, entry.info.settings);
  entry.info.has_units = true;
  ask(make({}, {}), entry.info);
  entry.make = [info = entry.info, make](const MethodText& text) -> Result<GradientTransform> {
    Options options;
    Units units;
    GRADSTAB_RETURN_IF_ERROR(read_settings(info, text, options, &units));
    return make(std::move(options), std::move(units));
  };
  entry.restate = [info = entry.info](const MethodText& text) -> Result<MethodText> {
    Options options;
    Units units;
    GRADSTAB_RETURN_IF_ERROR(read_settings(info, text, options, &units));
    MethodText result{std::string(info.name), {}};
    restate(options, Options{}, result);
    restate(units, Units{}, result);
    return result;
  };
  return entry;
}

template <class Options>
Entry<GradientTransform> method(const Words& words, GradientTransform (*make)(Options)) {
  Entry<GradientTransform> entry{info_of(words), {}, {}};
  describe(Options{}, entry.info.settings);
  ask(make({}), entry.info);
  entry.make = [info = entry.info, make](const MethodText& text) -> Result<GradientTransform> {
    Options options;
    GRADSTAB_RETURN_IF_ERROR(read_settings(info, text, options, nullptr));
    return make(std::move(options));
  };
  entry.restate = [info = entry.info](const MethodText& text) -> Result<MethodText> {
    Options options;
    GRADSTAB_RETURN_IF_ERROR(read_settings(info, text, options, nullptr));
    MethodText result{std::string(info.name), {}};
    restate(options, Options{}, result);
    return result;
  };
  return entry;
}

template <class Options>
Entry<OptimizerOptions> optimizer(const Words& words, const Options& defaults) {
  Entry<OptimizerOptions> entry{info_of(words), {}, {}};
  describe(defaults, entry.info.settings);
  entry.make = [info = entry.info, defaults](const MethodText& text) -> Result<OptimizerOptions> {
    Options options = defaults;
    GRADSTAB_RETURN_IF_ERROR(read_settings(info, text, options, nullptr));
    GRADSTAB_RETURN_IF_ERROR(validate(options));
    return OptimizerOptions(std::move(options));
  };
  entry.restate = [info = entry.info, defaults](const MethodText& text) -> Result<MethodText> {
    Options options = defaults;
    GRADSTAB_RETURN_IF_ERROR(read_settings(info, text, options, nullptr));
    MethodText result{std::string(info.name), {}};
    restate(options, defaults, result);
    return result;
  };
  return entry;
}

/// A new method is one more line: its name, an older word for it, its name in recorded cases, what it does.
const std::vector<Entry<GradientTransform>>& method_entries() {
  static const std::vector<Entry<GradientTransform>> entries = {
      method<StabilizerOptions>({"stabilize", "", "gradient_stabilizer",
                                 "GradientStabilizer: keeps the direction, stabilizes the norm"},
                                stabilize),
      method<ClipByValueOptions>({"clip_by_value", "", "value_clip", "clips every element"}, clip_by_value),
      method<GlobalNormOptions>(
          {"clip_by_global_norm", "clip", "norm_clip", "clips all gradients by their global norm"},
          clip_by_global_norm),
      method<AdaptiveClipOptions>(
          {"adaptive_clip", "agc", "agc", "AGC: limits each row's norm to a fraction of its parameter's"},
          adaptive_clip),
      method<ZClipOptions>({"zclip", "", "", "ZClip: clips spikes of the global norm by their z-score"},
                           zclip),
      method<AdaGcOptions>({"adagc", "", "", "AdaGC: limits each norm to a multiple of its running average"},
                           adagc),
      method<SpikeAwareClipOptions>(
          {"spike_aware_clip", "", "", "SPAM's clipping of single elements, by itself"}, spike_aware_clip),
      method<AdaptiveValueClipOptions>(
          {"adaptive_value_clip", "", "",
           "Stable-SPAM's AdaClip: clips elements by the average of the largest"},
          adaptive_value_clip),
      method<AdaptiveNormOptions>(
          {"adaptive_norm", "", "", "Stable-SPAM's AdaGN: the rule of stabilize with other decays"},
          adaptive_norm),
      method<NormalizeOptions>({"normalize", "", "", "control: gives each unit norm 1"}, normalize),
      method<ScaleByOptions>({"scale_by", "scale", "", "control: multiplies by a constant factor"}, scale_by),
      method<RecordNormsOptions>({"record_norms", "", "", "changes nothing, measures and flags spikes"},
                                 record_norms),
  };
  return entries;
}

template <class... Options>
std::vector<Entry<OptimizerOptions>> entries_of(std::type_identity<std::variant<Options...>>) {
  std::vector<Entry<OptimizerOptions>> entries;
  const auto add = [&](const auto& defaults, std::string_view summary, std::string_view published = "") {
    entries.push_back(optimizer({defaults.name(), "", published, summary}, defaults));
  };
  (visit_presets(std::type_identity<Options>(), add), ...);
  return entries;
}

const std::vector<Entry<OptimizerOptions>>& optimizer_entries() {
  static const std::vector<Entry<OptimizerOptions>> entries =
      entries_of(std::type_identity<OptimizerOptions>());
  return entries;
}

template <class Made>
std::vector<MethodInfo> infos(const std::vector<Entry<Made>>& entries) {
  std::vector<MethodInfo> list;
  list.reserve(entries.size());
  for (const Entry<Made>& entry : entries) list.push_back(entry.info);
  return list;
}

/// The index of a name; -1 if there is none.
std::ptrdiff_t position_of(std::string_view name, const std::vector<MethodInfo>& list) {
  const auto found = std::ranges::find_if(list, [&](const MethodInfo& info) {
    return !name.empty() && (info.name == name || info.formerly == name);
  });
  return found == list.end() ? -1 : found - list.begin();
}

Result<const MethodInfo*> find(std::string_view name, const std::vector<MethodInfo>& list, const char* what) {
  if (const std::ptrdiff_t position = position_of(name, list); position >= 0) return &list[position];
  std::vector<std::string_view> names;
  names.reserve(list.size());
  for (const MethodInfo& info : list) names.push_back(info.name);
  std::string message = detail::concat("'", name, "' is no ", what, " of this library; ");
  if (const std::string_view like = detail::nearest(name, names); !like.empty())
    return Status(StatusCode::invalid_argument, detail::concat(message, "did you mean ", like, "?"));
  for (std::size_t i = 0; i < names.size(); ++i)
    message += detail::concat(i == 0 ? "known are " : ", ", names[i]);
  return Status(StatusCode::invalid_argument, message);
}

/// Makes what the text names.
template <class Made>
Result<Made> make_one(const MethodText& text, const std::vector<Entry<Made>>& entries,
                      const std::vector<MethodInfo>& list, const char* what) {
  const auto found = find(text.method, list, what);
  if (!found) return found.status();
  return entries[static_cast<std::size_t>(*found - list.data())].make(text);
}

}  // namespace

const std::vector<MethodInfo>& methods() {
  static const std::vector<MethodInfo> list = infos(method_entries());
  return list;
}

const std::vector<MethodInfo>& optimizers() {
  static const std::vector<MethodInfo> list = infos(optimizer_entries());
  return list;
}

Result<const MethodInfo*> find_method(std::string_view name) {
  return find(name, methods(), "method");
}

Result<const MethodInfo*> find_optimizer(std::string_view name) {
  return find(name, optimizers(), "optimizer");
}

Result<GradientTransform> make_chain(std::span<const MethodText> links) {
  std::vector<GradientTransform> made;
  for (const MethodText& link : links) {
    auto transform = make_one(link, method_entries(), methods(), "method");
    if (!transform) return transform.status();
    GRADSTAB_RETURN_IF_ERROR(transform->validate());
    made.push_back(std::move(*transform));
  }
  if (made.size() == 1) return std::move(made.front());
  return chain_of(std::move(made));
}

Result<std::vector<MethodText>> without_defaults(std::span<const MethodText> links) {
  std::vector<MethodText> result;
  for (const MethodText& link : links) {
    const auto found = find_method(link.method);
    if (!found) return found.status();
    auto stated = method_entries()[static_cast<std::size_t>(*found - methods().data())].restate(link);
    if (!stated) return stated.status();
    result.push_back(std::move(*stated));
  }
  return result;
}

Result<OptimizerOptions> make_optimizer_options(const MethodText& optimizer) {
  return make_one(optimizer, optimizer_entries(), optimizers(), "optimizer");
}

}  // namespace gradstab
