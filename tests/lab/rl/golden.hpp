// The numbers of data/ppo.json.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

namespace gradstab::lab::rl {

inline nlohmann::json golden(const char* part) {
  return nlohmann::json::parse(std::ifstream(GRADSTAB_PPO_GOLDEN)).at(part);
}

inline std::vector<double> numbers(const nlohmann::json& list) {
  return list.get<std::vector<double>>();
}

}  // namespace gradstab::lab::rl
