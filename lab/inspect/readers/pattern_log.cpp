#include <fmt/format.h>
#include <re2/re2.h>

#include <array>
#include <limits>
#include <map>

#include "lab/inspect/readers/joiner.hpp"
#include "lab/inspect/readers/lines.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/inspect/readers/text_log.hpp"

namespace gradstab::lab::inspect {
namespace {

/// A pattern with the places of its groups among all of them, from 1; 0: it has none of that name.
struct Groups {
  int norm = 0;
  int loss = 0;
  int step = 0;
};

RE2::Options options_of_pattern() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_encoding(RE2::Options::EncodingLatin1);  // logs hold any bytes
  return options;
}

Result<Groups> groups_of(const RE2& pattern) {
  if (!pattern.ok()) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("--pattern is no regular expression of RE2: {}", pattern.error()));
  }
  const std::map<std::string, int>& named = pattern.NamedCapturingGroups();
  const auto place = [&](const char* name) {
    const auto found = named.find(name);
    return found == named.end() ? 0 : found->second;
  };
  const Groups groups{place("norm"), place("loss"), place("step")};
  if (groups.norm == 0) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("--pattern needs a group of the name norm, as in "
                              "step (?P<step>\\d+).*norm (?P<norm>\\S+); got '{}'",
                              pattern.pattern()));
  }
  return groups;
}

std::string_view view(const re2::StringPiece& piece) {
  return {piece.data(), piece.size()};
}

}  // namespace

Status check_pattern(const std::string& pattern) {
  return groups_of(RE2(pattern, options_of_pattern())).status();
}

Status read_pattern_log(const Source& source, const std::string& pattern, TraceFacts& facts,
                        TraceSink& sink) {
  const RE2 expression(pattern, options_of_pattern());
  const auto groups = groups_of(expression);
  if (!groups) return groups.status();
  auto bytes = source();
  if (!bytes) return bytes.status();
  facts.format = "lines of a pattern";
  facts.norm_name = "norm";
  if (groups->loss > 0) facts.loss_name = "loss";
  if (groups->step > 0) facts.step_name = "step";
  LineReader lines(**bytes);
  Joiner joiner(facts, sink);
  std::vector<re2::StringPiece> found(static_cast<std::size_t>(expression.NumberOfCapturingGroups()) + 1);
  std::int64_t matched = 0;
  while (const auto line = lines.next()) {
    const re2::StringPiece text(line->data(), line->size());
    if (!expression.Match(text, 0, text.size(), RE2::UNANCHORED, found.data(),
                          static_cast<int>(found.size())))
      continue;
    ++matched;
    const auto number = [&](int group) {
      return group == 0 ? std::nullopt : log_number(view(found[static_cast<std::size_t>(group)]));
    };
    Reading reading;
    reading.norm = number(groups->norm);
    reading.loss = number(groups->loss);
    if (const auto step = number(groups->step)) reading.step = step_of(*step);
    if (!joiner.add(reading)) return {};
  }
  GRADSTAB_RETURN_IF_ERROR(lines.status());
  joiner.finish();
  if (joiner.records() > 0) return {};
  return {StatusCode::corrupt_data, matched == 0
                                        ? "no line fits --pattern"
                                        : fmt::format("{} lines fit --pattern, but its group norm is no "
                                                      "number in any of them",
                                                      matched)};
}

}  // namespace gradstab::lab::inspect
