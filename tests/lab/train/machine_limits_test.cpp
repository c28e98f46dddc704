// Runs that cannot fit, told by numbers.
#include "lab/train/machine_limits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/llm/data/tokenizer.hpp"
#include "tests/lab/llm_options.hpp"

namespace gradstab::lab {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::uint64_t kGigabyte = 1'000'000'000;

TrainOptions bytes_1m() {
  TrainOptions options = llm_options();
  llm_settings(options).tokenizer = "bytes";
  return options;
}

TEST(MemoryNeedTest, CountsWhatARunMustHold) {
  const MemoryNeed need = memory_need(bytes_1m());
  // 2Vh + L(4h^2 + 3hi + 2h) + h with V 257, h 128, i 352, L 5.
  const double parameters = 2.0 * 257 * 128 + 5 * (4.0 * 128 * 128 + 3.0 * 128 * 352 + 2 * 128) + 128;
  EXPECT_EQ(need.weights, 4 * parameters);
  EXPECT_EQ(need.gradients, 4 * parameters);
  EXPECT_EQ(need.optimizer_state, 8 * parameters) << "AdamW has two moments";
  EXPECT_EQ(need.activations, 4.0 * 16 * 128 * 5 * (8 * 128 + 3 * 352));
  EXPECT_EQ(need.total(), need.weights + need.optimizer_state + need.activations);
}

TEST(MemoryNeedTest, FollowsTheSettings) {
  const MemoryNeed adamw = memory_need(bytes_1m());
  TrainOptions options = bytes_1m();
  for (const char* name : {"lion", "adam_mini", "sgd"}) {
    options.optimizer = name;
    EXPECT_EQ(memory_need(options).optimizer_state, adamw.weights) << name;
  }
  options.beta1 = 0.0;
  EXPECT_EQ(memory_need(options).optimizer_state, 0.0) << "SGD without momentum";
  options = bytes_1m();
  options.step_in_backward = true;
  EXPECT_EQ(memory_need(options).gradients, 0.0);
  options = bytes_1m();
  options.batch *= 3;
  EXPECT_EQ(memory_need(options).activations, 3 * adamw.activations);
  llm_settings(options).layers = 10;
  EXPECT_EQ(memory_need(options).activations, 6 * adamw.activations);
  llm_settings(options).tokenizer = "bpe";
  llm_settings(options).vocab_size = 257 + 1000;
  EXPECT_GT(memory_need(options).weights, adamw.weights);
  EXPECT_EQ(Tokenizer::bytes().vocab_size(), kByteVocabSize);
}

TEST(CheckMachineTest, RefusesWithBothNumbers) {
  TrainOptions options = bytes_1m();
  const double total = memory_need(options).total();
  const auto exactly = static_cast<std::uint64_t>(total);
  EXPECT_TRUE(check_machine(options, {exactly, 2}).ok());
  const Status refused = check_machine(options, {exactly - 1, 2});
  EXPECT_EQ(refused.code(), StatusCode::failed_precondition);
  EXPECT_THAT(refused.message(),
              AllOf(HasSubstr("this run needs at least " + memory_text(total)),
                    HasSubstr("this machine has " + memory_text(total - 1)), HasSubstr("--ignore-limits")));
  EXPECT_TRUE(check_machine(options, {0, 2}).ok()) << "what is not known refuses nothing";
  EXPECT_TRUE(check_machine(options, {3 * exactly, 2}, 3).ok());
  EXPECT_THAT(check_machine(options, {3 * exactly - 1, 2}, 3).message(),
              HasSubstr("3 such runs at a time need at least " + memory_text(3 * total)));
}

// What ran for minutes, or until it was killed, on 24 GB.
TEST(CheckMachineTest, RefusesWhatRanUntilItWasKilled) {
  const Machine machine{24 * kGigabyte, 2};
  const auto refused = [&](auto change) {
    TrainOptions options = bytes_1m();
    change(options);
    EXPECT_TRUE(options.validate().ok()) << options.validate().message();
    return !check_machine(options, machine).ok();
  };
  EXPECT_TRUE(refused([](TrainOptions& options) { llm_settings(options).layers = 10000; }));
  EXPECT_TRUE(refused([](TrainOptions& options) { llm_settings(options).model = "7b"; }));
  EXPECT_TRUE(refused([](TrainOptions& options) { options.batch = 100000; }));
  EXPECT_TRUE(refused([](TrainOptions& options) { llm_settings(options).context = 1'000'000'000; }));
  EXPECT_TRUE(refused([](TrainOptions& options) { options.threads = 100000; }));
  EXPECT_FALSE(refused([](TrainOptions&) {})) << "the control";
  EXPECT_FALSE(
      refused([](TrainOptions& options) { llm_settings(options).model = "350m", options.batch = 4; }));
}

TEST(CheckMachineTest, SaysWhatTheMemoryIsFor) {
  TrainOptions options = bytes_1m();
  llm_settings(options).model = "7b";
  const MemoryNeed large = memory_need(options);
  EXPECT_THAT(check_machine(options, {24 * kGigabyte, 2}).message(),
              HasSubstr("(weights " + memory_text(large.weights) + ", optimizer state " +
                        memory_text(2 * large.weights) + ", gradients " + memory_text(large.weights) + ")"));
  options = bytes_1m();
  options.batch = 100000;
  EXPECT_THAT(check_machine(options, {24 * kGigabyte, 2}).message(),
              HasSubstr("activations of a micro-batch " + memory_text(memory_need(options).activations)));
  EXPECT_EQ(memory_text(26934034432.0), "26.9 GB (26934034432 bytes)");
  EXPECT_EQ(memory_text(4282880.0), "4.3 MB (4282880 bytes)");
}

TEST(CheckMachineTest, CountsThreadsAgainstCores) {
  TrainOptions options = bytes_1m();
  options.threads = 64;
  EXPECT_TRUE(check_machine(options, {0, 1}).ok());
  options.threads = 65;
  EXPECT_EQ(check_machine(options, {0, 1}).message(),
            "threads must be at most 64 on this machine, which has 1 core, got 65; --ignore-limits starts it "
            "anyway");
  EXPECT_TRUE(check_machine(options, {0, 9}).ok());
}

TEST(CheckMachineTest, OfADeviceOnlyTheWeightsAreOnTheHost) {
  TrainOptions options = bytes_1m();
  options.device = "cuda";
  const auto weights = static_cast<std::uint64_t>(memory_need(options).weights);
  EXPECT_TRUE(check_machine(options, {weights, 2}).ok());
  EXPECT_FALSE(check_machine(options, {weights - 1, 2}).ok());
}

TEST(CheckMachineTest, SizesThatNoProductMayOverflowAreRefusedAnyway) {
  TrainOptions options = bytes_1m();
  options.accumulation = 2147483648;
  EXPECT_EQ(options.validate().message(), "accumulation must be at most 1000000, got 2147483648");
  options = bytes_1m();
  options.batch = 9223372036854775807;
  EXPECT_EQ(options.validate().message(), "batch must be at most 1000000000, got 9223372036854775807");
}

TEST(MachineTest, HereHasMemoryAndCores) {
  const Machine machine = Machine::here();
  EXPECT_GE(machine.cores, 1u);
  EXPECT_GT(machine.memory, 16u << 20);
}

}  // namespace
}  // namespace gradstab::lab
