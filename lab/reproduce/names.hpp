// What stands in records, in the order in which it appears there, and what people call it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lab/reproduce/records.hpp"

namespace gradstab::lab {

std::vector<std::string> horizons_in_order(const Records& records);
std::vector<std::string> arms_in_order(const Records& records);
std::vector<Settings> contexts_in_order(const Records& records, const std::string& horizon);

/// "norm clip 1"
std::string arm_label(const std::string& name);

/// Whether it is there to be beaten by a method, and is none.
bool is_control(const std::string& arm);

/// What runs of a task are: "language models" of "llm".
std::string domain_of(std::string_view task);

/// "lr 0.003" for a setting; words where the value is a name: "AdamW" of optimizer adamw.
std::string coordinate_text(const std::string& key, const std::string& value);

/// "lr 0.003, fp4"; empty for no coordinates.
std::string context_text(const Settings& context);

/// "300 updates of 8 x 128 tokens": of the horizon's first run.
std::string horizon_text(const Records& records, const std::string& horizon);

/// Whether the run has all of these coordinates.
bool lies_in(const Settings& coordinates, const Settings& where);

}  // namespace gradstab::lab
