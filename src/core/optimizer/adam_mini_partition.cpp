#include "core/optimizer/adam_mini_partition.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "core/base/text.hpp"
#include "core/step/segments.hpp"
#include "core/step/unit_map.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {
namespace {

struct NameRule {
  std::string_view word;
  AdamMiniUnit unit;
};

constexpr std::array<NameRule, 22> kRules = {{
    {"bias", AdamMiniUnit::element},    {"k_proj", AdamMiniUnit::head},      {"q_proj", AdamMiniUnit::head},
    {"wq", AdamMiniUnit::head},         {"wk", AdamMiniUnit::head},          {"query", AdamMiniUnit::head},
    {"key", AdamMiniUnit::head},        {"embed", AdamMiniUnit::row},        {"embd", AdamMiniUnit::row},
    {"wte", AdamMiniUnit::row},         {"lm_head", AdamMiniUnit::row},      {"output", AdamMiniUnit::row},
    {"final_layer", AdamMiniUnit::row}, {"v_proj", AdamMiniUnit::row},       {"wv", AdamMiniUnit::row},
    {"value", AdamMiniUnit::row},       {"feed_forward", AdamMiniUnit::row}, {"linear", AdamMiniUnit::row},
    {"mlp", AdamMiniUnit::row},         {"o_proj", AdamMiniUnit::row},       {"wo", AdamMiniUnit::row},
    {"attn.proj", AdamMiniUnit::row},
}};

bool is_letter(char c) noexcept {
  return c >= 'a' && c <= 'z';
}

std::string lower_case(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

/// Whether every occurrence of `word` in `name` stands inside a longer word.
bool only_inside_words(std::string_view name, std::string_view word) noexcept {
  for (std::size_t at = name.find(word); at != std::string_view::npos; at = name.find(word, at + 1)) {
    const bool before = at > 0 && is_letter(name[at - 1]);
    const bool after = at + word.size() < name.size() && is_letter(name[at + word.size()]);
    if (!before && !after) return false;
  }
  return true;
}

/// "embed" within "embeddings" says what it means; three letters within a word may not.
bool is_telling(std::string_view word) noexcept {
  return word == "embed" || word == "embd";
}

Status unclear(const Parameter& parameter, const std::string& why) {
  return {StatusCode::invalid_argument,
          detail::concat("adam_mini cannot tell how '", parameter.name, "' is divided: ", why,
                         "; name its unit in overrides")};
}

Result<AdamMiniUnit> unit_of(const AdamMiniOptions& options, const Parameter& parameter) {
  for (const AdamMiniOptions::Override& override : options.overrides) {
    if (matches(override.pattern, parameter.name)) return override.unit;
  }
  const std::string name = lower_case(parameter.name);
  for (const NameRule& rule : kRules) {
    if (name.find(rule.word) == std::string::npos) continue;
    if (!is_telling(rule.word) && only_inside_words(name, rule.word)) {
      return unclear(parameter, detail::concat("'", rule.word, "' stands inside a longer word"));
    }
    return rule.unit;
  }
  return AdamMiniUnit::tensor;
}

}  // namespace

Result<ParameterRule> adam_mini_rule(const AdamMiniOptions& options, const Parameter& parameter) {
  const auto unit = unit_of(options, parameter);
  if (!unit) return unit.status();
  const std::string name = lower_case(parameter.name);
  ParameterRule rule;
  rule.decays = name.find("norm") == std::string::npos && name.find("ln") == std::string::npos &&
                name.find("bias") == std::string::npos;
  if (*unit == AdamMiniUnit::element) {
    rule.rule = UpdateRule::adam;
    return rule;
  }
  rule.rule = UpdateRule::momentum;
  rule.unit_moments = true;
  const std::int64_t count = element_count(parameter.sizes);
  if (*unit == AdamMiniUnit::row) rule.units = row_count(parameter.sizes);
  if (*unit == AdamMiniUnit::head) {
    if (options.dim < 1 || options.n_heads < 1) {
      return Status(StatusCode::invalid_argument,
                    detail::concat("adam_mini needs dim and n_heads above 0 for '", parameter.name, "', got ",
                                   options.dim, " and ", options.n_heads));
    }
    std::int64_t square = 0;
    const bool fits = !__builtin_mul_overflow(options.dim, options.dim, &square);
    const std::int64_t head = square / options.n_heads;
    if (!fits || square % options.n_heads != 0 || head == 0 || count % head != 0) {
      return unclear(parameter, detail::concat("its ", count, " elements are not a whole number of heads of ",
                                               options.dim, " x ", options.dim, " / ", options.n_heads));
    }
    rule.units = static_cast<std::size_t>(count / head);
  }
  return rule;
}

}  // namespace gradstab
