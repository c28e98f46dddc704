// Writes the archives of the subjects that FOLDER does not have: make_kept_archives FOLDER.
#include <torch/serialize.h>

#include <filesystem>

#include "libtorch/kept_archives.hpp"

int main(int, char** argv) {
  using namespace gradstab::testing;
  for (const KeptArchive& subject : kept_archives()) {
    const std::filesystem::path file = std::filesystem::path(argv[1]) / (subject.name + ".pt");
    if (std::filesystem::exists(file)) continue;
    auto list = kept_parameters();
    const auto optimizer = subject.make(list, true);
    keep_steps(*optimizer, list, 0, kKeptBefore);
    torch::serialize::OutputArchive state;
    optimizer->save(state);
    torch::serialize::OutputArchive archive;
    archive.write("state", state);
    for (std::size_t i = 0; i < list.size(); ++i)
      archive.write("before" + std::to_string(i), list[i].detach().clone());
    keep_steps(*optimizer, list, kKeptBefore, kKeptBefore + kKeptAfter);
    for (std::size_t i = 0; i < list.size(); ++i)
      archive.write("after" + std::to_string(i), list[i].detach().clone());
    archive.save_to(file.string());
  }
}
