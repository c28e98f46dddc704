// make_corpus FOLDER: the first inputs of fuzz_state_loader, states of every transform it tries.
//
// Those of fuzz_backends have no shape to speak of; they are what libFuzzer kept after runs from nothing.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "core/state_codec.hpp"
#include "state_subjects.hpp"

namespace gradstab::fuzz {
namespace {

void write(const std::filesystem::path& file, std::uint8_t subject, bool payload,
           std::span<const std::byte> bytes) {
  std::ofstream out(file, std::ios::binary);
  out.put(static_cast<char>(subject)).put(payload ? 1 : 0);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void make_states(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  std::uint8_t index = 0;
  for (const StateSubject& subject : kStateSubjects) {
    GradientTransform transform = subject.make();
    transform.init(state_parameters()).check();
    const std::string name = subject.name;
    write(folder / (name + "_fresh"), index, true, unwrap_state(transform.save().value()).value());
    for (int i = 0; i < 12; ++i) step(transform, i).check();
    const auto state = transform.save().value();
    write(folder / (name + "_payload"), index, true, unwrap_state(state).value());
    write(folder / (name + "_state"), index, false, state);
    ++index;
  }
}

}  // namespace
}  // namespace gradstab::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_corpus FOLDER\n";
    return 2;
  }
  gradstab::fuzz::make_states(std::filesystem::path(argv[1]) / "fuzz_state_loader");
}
