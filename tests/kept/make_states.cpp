// Prints the lines of states.jsonl for the subjects that the file does not have: make_kept_states <
// states.jsonl. What is in it stays as older versions wrote it.
#include <iostream>
#include <set>

#include "kept/states_file.hpp"

int main() {
  using namespace gradstab::testing;
  std::set<std::string> known;
  for (std::string line; std::getline(std::cin, line);)
    known.insert(nlohmann::ordered_json::parse(line).at("subject").get<std::string>());
  for (const KeptSubject& subject : kept_subjects()) {
    if (!known.contains(subject.name)) std::cout << kept_line(subject).dump() << "\n";
  }
}
