// Findings in sentences.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/inspect/verdict.hpp"

namespace gradstab::lab::inspect {

/// Four significant digits: 0.5, 1.234, 87439, 8.744e+16; "no number" for NaN.
std::string number_text(double value);
/// "12 %", "0.3 %", "none"
std::string percent(double share);
/// "one event", "3 events"
std::string count_of(std::int64_t count, std::string_view one, std::string_view many);
/// "4,036"
std::string grouped(std::int64_t value);

/// What was seen, what the spikes did, what each rule would have made of it, how long the rules hold the
/// steps down, and what other runs have shown.
std::vector<Section> sections_of(const Findings& findings);

/// What a rule of that memory makes of this log: empty where it is exact.
std::string reservation(const Findings& findings, Memory memory);

}  // namespace gradstab::lab::inspect
