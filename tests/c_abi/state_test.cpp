// Saving and loading in memory: what is refused, and that nothing is lost then.
#include <gtest/gtest.h>

#include <cstring>

#include "support.hpp"

namespace gradstab::testing {
namespace {

class CStateTest : public ::testing::Test {
 protected:
  void SetUp() override { train(source_.get(), 5); }

  /// Loads bytes into a transform with a state of its own, which must refuse them and stay as it was.
  /// Returns the status.
  gradstab_status refused_by(gradstab_transform* target, const std::vector<unsigned char>& bytes) {
    const auto before = saved(target);
    const gradstab_status status = gradstab_load(target, bytes.data(), bytes.size());
    message_ = gradstab_last_error(target);
    EXPECT_NE(status, GRADSTAB_OK);
    EXPECT_EQ(saved(target), before);
    return status;
  }

  void expect_refused(const std::vector<unsigned char>& bytes, gradstab_status status,
                      const std::string& message) {
    const Handle target = initialised();
    train(target.get(), 2);
    EXPECT_EQ(refused_by(target.get(), bytes), status);
    EXPECT_EQ(message_, message);
  }

  const Handle source_ = initialised();
  std::string message_;  // of the last load
};

TEST_F(CStateTest, ALoadedStateContinuesWithTheSameBits) {
  const auto state = saved(source_.get());
  const Handle target = initialised();
  train(target.get(), 1);
  ASSERT_TRUE(accepted(gradstab_load(target.get(), state.data(), state.size()), target.get()));
  EXPECT_EQ(saved(target.get()), state);
  for (int step = 0; step < 3; ++step) {
    Pair a;
    Pair b;
    a.weight[1] = b.weight[1] = static_cast<float>(100 * step);
    ASSERT_TRUE(
        accepted(gradstab_update(source_.get(), a.tensors, 2, GRADSTAB_NO_STEP, nullptr), source_.get()));
    ASSERT_TRUE(
        accepted(gradstab_update(target.get(), b.tensors, 2, GRADSTAB_NO_STEP, nullptr), target.get()));
    EXPECT_EQ(a.weight, b.weight);
    EXPECT_EQ(a.bias, b.bias);
  }
  EXPECT_EQ(saved(target.get()), saved(source_.get()));
}

TEST_F(CStateTest, NamesMayComeInAnotherOrder) {
  const gradstab_parameter reordered[] = {kParameters[1], kParameters[0]};
  const Handle target = make_stabilizer();
  ASSERT_TRUE(accepted(gradstab_init(target.get(), reordered, 2, nullptr), target.get()));
  const auto state = saved(source_.get());
  ASSERT_TRUE(accepted(gradstab_load(target.get(), state.data(), state.size()), target.get()));
  Pair a;
  Pair b;
  void* const swapped[] = {b.pointers[1], b.pointers[0]};
  ASSERT_TRUE(accepted(gradstab_update_pointers(source_.get(), a.pointers, 2, GRADSTAB_FLOAT32, 9, nullptr),
                       source_.get()));
  ASSERT_TRUE(accepted(gradstab_update_pointers(target.get(), swapped, 2, GRADSTAB_FLOAT32, 9, nullptr),
                       target.get()));
  EXPECT_EQ(a.weight, b.weight);
  EXPECT_EQ(a.bias, b.bias);
}

TEST_F(CStateTest, MissingArgumentsAreNamed) {
  gradstab_transform* const t = source_.get();
  void* bytes = t;
  std::size_t size = 5;
  EXPECT_TRUE(refused(gradstab_save(t, nullptr, &size), GRADSTAB_INVALID_ARGUMENT, t,
                      "bytes is NULL, expected a void*"));
  EXPECT_EQ(size, 0u);
  EXPECT_TRUE(refused(gradstab_save(t, &bytes, nullptr), GRADSTAB_INVALID_ARGUMENT, t,
                      "size is NULL, expected a size_t"));
  EXPECT_EQ(bytes, nullptr);
  EXPECT_TRUE(refused(gradstab_load(t, nullptr, 10), GRADSTAB_INVALID_ARGUMENT, t,
                      "bytes is NULL, expected a saved state"));
}

TEST_F(CStateTest, EveryFlippedBitOfEveryByteIsNoticed) {
  const auto state = saved(source_.get());
  const Handle target = initialised();
  train(target.get(), 2);
  for (std::size_t at = 0; at < state.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      const gradstab_status status = refused_by(target.get(), flipped(state, at, bit));
      const bool in_version = at >= 8 && at < 12;
      EXPECT_EQ(status, in_version ? GRADSTAB_VERSION_MISMATCH : GRADSTAB_CORRUPT_DATA) << at << ' ' << bit;
      if (at >= 24) {
        EXPECT_EQ(message_, "state is damaged: its checksum does not match its content");
      }
    }
  }
  EXPECT_TRUE(accepted(gradstab_load(target.get(), state.data(), state.size()), target.get()));
}

TEST_F(CStateTest, EveryTruncationIsNoticed) {
  const auto state = saved(source_.get());
  const Handle target = initialised();
  train(target.get(), 2);
  for (std::size_t length = 0; length < state.size(); ++length) {
    // An exact copy, so that the sanitizers see a read behind the end.
    auto cut = std::vector<unsigned char>(state.begin(), state.begin() + static_cast<std::ptrdiff_t>(length));
    cut.shrink_to_fit();
    if (cut.empty()) {
      EXPECT_EQ(gradstab_load(target.get(), &cut, 0), GRADSTAB_CORRUPT_DATA);
      continue;
    }
    EXPECT_EQ(refused_by(target.get(), cut), GRADSTAB_CORRUPT_DATA) << length;
  }
}

TEST_F(CStateTest, ForeignPaddedAndNewerBytesSayWhatTheyAre) {
  const auto state = saved(source_.get());
  const std::string text = "%PDF-1.7 is no state of a transform";
  expect_refused({text.begin(), text.end()}, GRADSTAB_CORRUPT_DATA,
                 "not a gradstab state: it does not begin with 'GRADSTAB'");
  const std::string magic = "GRADSTAB";
  expect_refused({magic.begin(), magic.end()}, GRADSTAB_CORRUPT_DATA,
                 "state is truncated: 8 bytes, the header alone has 24");
  auto padded = state;
  padded.push_back(0);
  expect_refused(padded, GRADSTAB_CORRUPT_DATA,
                 "state is truncated or padded: " + std::to_string(padded.size() - 24) +
                     " bytes follow the header, expected " + std::to_string(state.size() - 24));
  auto newer = state;
  std::uint32_t version = 0;
  std::memcpy(&version, newer.data() + 8, sizeof version);
  const std::uint32_t later = version + 1;
  std::memcpy(newer.data() + 8, &later, sizeof later);
  expect_refused(newer, GRADSTAB_VERSION_MISMATCH,
                 "state has format version " + std::to_string(later) + ", this library reads version " +
                     std::to_string(version));
}

TEST_F(CStateTest, OtherParametersMethodsAndSettingsAreNamed) {
  const auto state = saved(source_.get());
  const auto expect = [&](Handle target, const std::vector<gradstab_parameter>& parameters,
                          gradstab_status status, const std::string& message) {
    ASSERT_TRUE(
        accepted(gradstab_init(target.get(), parameters.data(), parameters.size(), nullptr), target.get()));
    EXPECT_EQ(refused_by(target.get(), state), status);
    EXPECT_EQ(message_, message);
  };
  const gradstab_parameter weight = kParameters[0];
  const gradstab_parameter bias = kParameters[1];
  expect(make_stabilizer(), {weight}, GRADSTAB_SHAPE_MISMATCH,
         "saved state has a parameter 'bias' that is not registered here");
  expect(make_stabilizer(), {weight, {"gain", 1, bias.sizes}}, GRADSTAB_SHAPE_MISMATCH,
         "saved state has a parameter 'bias' that is not registered here");
  expect(make_stabilizer(), {weight, bias, {"gain", 1, bias.sizes}}, GRADSTAB_SHAPE_MISMATCH,
         "saved state has no parameter 'gain'");
  expect(make_stabilizer(), {weight, {"bias", 0, nullptr}}, GRADSTAB_SHAPE_MISMATCH,
         "parameter 'bias' has shape [] here but [2] in the saved state");
  expect(make_clipper(1.0), {weight, bias}, GRADSTAB_SHAPE_MISMATCH,
         "saved state is of 'stabilize', expected 'clip_by_global_norm'");
  gradstab_stabilizer_options options;
  ASSERT_TRUE(accepted(gradstab_stabilizer_options_init(&options, sizeof options, GRADSTAB_PRESET_PAPER)));
  gradstab_transform* paper = nullptr;
  ASSERT_TRUE(accepted(gradstab_stabilize(&options, nullptr, &paper)));
  expect(Handle(paper), {weight, bias}, GRADSTAB_INVALID_ARGUMENT,
         "stabilize has bias_correction = 0 here but bias_correction = 1 in the saved state");
}

}  // namespace
}  // namespace gradstab::testing
