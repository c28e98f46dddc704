// Archives that older versions wrote: they load, settings and state, and what follows is what followed then.
#include "libtorch/kept_archives.hpp"

#include <gtest/gtest.h>
#include <torch/serialize.h>

#include <cmath>

namespace gradstab::testing {
namespace {

/// The largest difference of the weights behind the steps after the archive from what they were then.
double distance(const KeptArchive& subject, bool load) {
  torch::serialize::InputArchive archive;
  archive.load_from(std::string(GRADSTAB_KEPT_ARCHIVES) + "/" + subject.name + ".pt");
  auto list = kept_parameters();
  const auto optimizer = subject.make(list, /*kept=*/false);
  torch::serialize::InputArchive state;
  archive.read("state", state);
  if (load) optimizer->load(state);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const torch::NoGradGuard no_grad;
    torch::Tensor before;
    archive.read("before" + std::to_string(i), before);
    list[i].copy_(before);
  }
  keep_steps(*optimizer, list, kKeptBefore, kKeptBefore + kKeptAfter);
  double worst = 0.0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    torch::Tensor after;
    archive.read("after" + std::to_string(i), after);
    worst = std::fmax(worst, (list[i].detach() - after).abs().max().item<double>());
  }
  return worst;
}

TEST(KeptArchivesTest, ArchivesOfOlderVersionsLoadAndContinueWithTheSameNumbers) {
  for (const KeptArchive& subject : kept_archives()) {
    EXPECT_LE(distance(subject, true), 1e-14) << subject.name;
    EXPECT_GT(distance(subject, false), 1e-3) << subject.name << ": its settings and state matter";
  }
}

}  // namespace
}  // namespace gradstab::testing
