// The answer: what to do, by what the log shows, and every sentence that goes with it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lab/inspect/analysis.hpp"

namespace gradstab::lab::inspect {

/// What the log advises. None of it says that something would have helped: a trace shows factors, not the
/// loss that would have followed.
enum class Advice : std::uint8_t {
  cannot_tell,  ///< too few norms, or none that say anything
  leave,        ///< no spikes
  leave_loss,   ///< spikes that the loss never followed
  guard,        ///< a guard costs little; no gain is promised
  try_it,       ///< a lasting event: try it, with these settings
};
/// "leave", for machines.
std::string_view to_string(Advice advice) noexcept;

/// A heading with its sentences.
struct Section {
  std::string title;
  std::vector<std::string> sentences;
};

struct Verdict {
  Advice advice = Advice::cannot_tell;
  std::string headline;              ///< a short sentence without its full stop
  std::string transform;             ///< what --transform takes; empty: nothing is advised
  std::vector<std::string> reasons;  ///< sentences
  std::vector<Section> sections;     ///< what was seen, and what other runs have shown
};

Verdict judge(const Findings& findings);

/// For machines. Keys are always there; null stands for what is not known and for infinity.
nlohmann::ordered_json to_json(const Findings& findings, const Verdict& verdict);

}  // namespace gradstab::lab::inspect
