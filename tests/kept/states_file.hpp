// states.jsonl: one line per subject, as the version that wrote it saved it and went on.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kept/subjects.hpp"

namespace gradstab::testing {

/// Steps before a state is saved, and after it is loaded.
inline constexpr int kStepsBefore = 6;
inline constexpr int kStepsAfter = 4;

inline std::string hexadecimal(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    text += "0123456789abcdef"[std::to_integer<int>(byte) >> 4];
    text += "0123456789abcdef"[std::to_integer<int>(byte) & 15];
  }
  return text;
}

inline std::vector<std::byte> bytes_of(const std::string& hexadecimal) {
  std::vector<std::byte> bytes(hexadecimal.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(std::stoi(hexadecimal.substr(2 * i, 2), nullptr, 16));
  return bytes;
}

/// What this version makes of a subject. Of what is left at the end, two numbers per tensor: the first
/// element, and the sum of squares.
inline nlohmann::ordered_json kept_line(const KeptSubject& subject) {
  KeptRun run(subject);
  run.steps(1, kStepsBefore);
  nlohmann::ordered_json line = {{"subject", subject.name}, {"state", hexadecimal(run.save())}};
  if (subject.optimizer) line["weights"] = run.weights();
  run.steps(kStepsBefore + 1, kStepsBefore + kStepsAfter);
  nlohmann::ordered_json left = nlohmann::ordered_json::array();
  for (const Values& tensor : run.left()) {
    double squares = 0.0;
    for (const double value : tensor) squares += value * value;
    left.push_back({tensor.front(), squares});
  }
  line["left"] = std::move(left);
  return line;
}

}  // namespace gradstab::testing
