// States whose checksum is right and whose content no run leaves behind: refused, and nothing changes.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

#include "core/base/state_codec.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using testing::Gradients;

using Bytes = std::vector<std::byte>;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

/// Where the fields of norm moments lie, as docs/state-format.md has them; the last unit's end a state.
constexpr std::size_t kMomentsBytes = 56;
constexpr std::size_t kFirst = 0;
constexpr std::size_t kSecond = 8;
constexpr std::size_t kStep = 16;
constexpr std::size_t kNonFinite = 24;
constexpr std::size_t kZeros = 32;
constexpr std::size_t kExponent = 40;
constexpr std::size_t kStreak = 44;
constexpr std::size_t kStreakNorm = 48;

/// The payload of a state, to be changed and wrapped again.
class Payload {
 public:
  explicit Payload(const Bytes& state) {
    const auto payload = unwrap_state(state).value();
    bytes_.assign(payload.begin(), payload.end());
  }

  template <class T>
  Payload& put(std::size_t position, T value) {
    std::memcpy(bytes_.data() + position, &value, sizeof value);
    return *this;
  }
  template <class T>
  Payload& put_last_moments(std::size_t field, T value) {
    return put(bytes_.size() - kMomentsBytes + field, value);
  }
  /// Where a text occurs first.
  std::size_t find(std::string_view text) const {
    return std::string_view(reinterpret_cast<const char*>(bytes_.data()), bytes_.size()).find(text);
  }
  Payload& replace(std::string_view text, std::string_view by) {
    std::memcpy(bytes_.data() + find(text), by.data(), by.size());
    return *this;
  }
  Payload& resize(std::size_t size) {
    bytes_.resize(size);
    return *this;
  }
  std::size_t size() const { return bytes_.size(); }

  Bytes wrapped() const { return wrap_state(bytes_); }

 private:
  Bytes bytes_;
};

GradientTransform trained(GradientTransform transform, std::vector<Parameter> list, int steps) {
  const ParameterSet parameters = testing::parameter_set(std::move(list));
  transform.init(parameters).check();
  Gradients gradients(parameters, DType::float64);
  for (int step = 1; step <= steps; ++step) {
    for (std::size_t t = 0; t < parameters.size(); ++t) gradients.set(t, testing::Values{1.0 + step, 2.0});
    transform.update(gradients.refs()).status().check();
  }
  return transform;
}

class DamagedStateTest : public ::testing::Test {
 protected:
  static GradientTransform trained_pair(int steps) {
    return trained(stabilize(), {{"one", {2}}, {"two", {2}}}, steps);
  }
  const Bytes state_ = trained_pair(5).save().value();

  /// What loading says; the transform must then be as it was, and load the undamaged state.
  Status load(const Bytes& bytes) {
    GradientTransform target = trained_pair(2);
    const Bytes before = target.save().value();
    Status status = target.load(bytes);
    EXPECT_TRUE(status.ok() || target.save().value() == before);
    EXPECT_TRUE(target.load(state_).ok());
    return status;
  }

  template <class T>
  void expect_impossible(std::size_t field, T value) {
    const Status status = load(Payload(state_).put_last_moments(field, value).wrapped());
    EXPECT_EQ(status.code(), StatusCode::corrupt_data) << field << " = " << value;
    EXPECT_EQ(status.message(), "state holds impossible norm moments") << field << " = " << value;
  }
  template <class T>
  void expect_accepted(std::size_t field, T value) {
    EXPECT_TRUE(load(Payload(state_).put_last_moments(field, value).wrapped()).ok())
        << field << " = " << value;
  }
};

TEST_F(DamagedStateTest, MomentsThatAreNoAmounts) {
  for (const std::size_t field : {kFirst, kSecond, kStreakNorm}) {
    for (const double value : {kNaN, kInf, -kInf, -1.0, -5e-324}) expect_impossible(field, value);
  }
  expect_accepted(kFirst, 0.0);
  expect_accepted(kSecond, 4.0);
  expect_impossible(kSecond, 0.0);
}

TEST_F(DamagedStateTest, CountersThatAreNegativeOrAboutToOverflow) {
  for (const std::size_t field : {kStep, kNonFinite, kZeros}) {
    for (const std::int64_t value : {std::int64_t{-1}, -kLargest - 1, kLargest, std::int64_t{1} << 62}) {
      expect_impossible(field, value);
    }
    expect_accepted(field, (std::int64_t{1} << 62) - 1);
  }
  expect_impossible(kStep, std::int64_t{0});
}

TEST_F(DamagedStateTest, ExponentsBeyondThoseOfNorms) {
  for (const std::int32_t value :
       {-1075, 1025, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()}) {
    expect_impossible(kExponent, value);
  }
  expect_accepted(kExponent, -1074);
  expect_accepted(kExponent, 1000);
  // The exponent is one of norms, but the norm that it makes of the moments is none.
  Payload large(state_);
  large.put_last_moments(kExponent, std::int32_t{1000});
  EXPECT_TRUE(load(large.put_last_moments(kFirst, 0x1p24).wrapped()).ok());
  EXPECT_FALSE(load(large.put_last_moments(kFirst, 0x1p25).wrapped()).ok());
  large.put_last_moments(kFirst, 1.0);
  EXPECT_TRUE(load(large.put_last_moments(kSecond, 0x1p48).wrapped()).ok());
  EXPECT_FALSE(load(large.put_last_moments(kSecond, 0x1p50).wrapped()).ok());
}

TEST_F(DamagedStateTest, StreaksThatWouldHaveEndedAndStreaksWithoutANorm) {
  const auto with = [&](std::int32_t streak, double norm) {
    return load(
        Payload(state_).put_last_moments(kStreak, streak).put_last_moments(kStreakNorm, norm).wrapped());
  };
  EXPECT_TRUE(with(7, 2.0).ok());
  EXPECT_TRUE(with(-7, 2.0).ok());
  EXPECT_FALSE(with(8, 2.0).ok());
  EXPECT_FALSE(with(-8, 2.0).ok());
  EXPECT_FALSE(with(3, 0.0).ok());
  EXPECT_FALSE(with(0, 2.0).ok());
}

TEST_F(DamagedStateTest, AParameterThatIsListedTwice) {
  const Status status = load(Payload(state_).replace("two", "one").wrapped());
  EXPECT_EQ(status.code(), StatusCode::corrupt_data);
  EXPECT_EQ(status.message(), "saved state has parameter 'one' twice");
}

TEST_F(DamagedStateTest, ANumberOfUpdatesThatNoRunMakes) {
  for (const std::int64_t updates : {std::int64_t{-3}, std::int64_t{1} << 62, kLargest}) {
    const Status status = load(Payload(state_).put(0, updates).wrapped());
    EXPECT_EQ(status.code(), StatusCode::corrupt_data);
    EXPECT_EQ(status.message(), "state holds an impossible number of updates, " + std::to_string(updates));
  }
  EXPECT_TRUE(load(Payload(state_).put(0, (std::int64_t{1} << 62) - 1).wrapped()).ok());
}

/// Counts are believed only as far as bytes follow.
TEST_F(DamagedStateTest, CountsThatNoFileCouldHold) {
  const std::size_t rank = Payload(state_).find("one") + 3;
  const std::size_t links = Payload(state_).find("stabilize") - 8;
  EXPECT_EQ(load(Payload(state_).put(8, ~std::uint64_t{0}).wrapped()).message(),
            "state ends inside its list of parameters");
  EXPECT_EQ(load(Payload(state_).put(rank, ~std::uint32_t{0}).wrapped()).message(),
            "state ends inside its list of parameters");
  EXPECT_EQ(load(Payload(state_).put(links, ~std::uint32_t{0}).wrapped()).message(),
            "saved state has 4294967295 methods, this transform has 1");
  EXPECT_EQ(load(Payload(state_).put(links + 4, ~std::uint32_t{0}).wrapped()).message(),
            "saved state is of '', expected 'stabilize'");
}

TEST_F(DamagedStateTest, EveryShorterOrLongerPayload) {
  const std::size_t size = Payload(state_).size();
  for (std::size_t length = 0; length <= size + 70; ++length) {
    EXPECT_EQ(load(Payload(state_).resize(length).wrapped()).ok(), length == size) << length;
  }
}

class DamagedGroupStateTest : public ::testing::Test {
 protected:
  static GradientTransform trained_groups(int steps) {
    return trained(stabilize({}, Units::by_name({{"both", {"a*"}}, {"solo", {"b"}}})),
                   {{"a0", {2}}, {"a1", {2}}, {"b", {2}}, {"left", {2}}, {"rest", {2}}}, steps);
  }
  const Bytes state_ = trained_groups(5).save().value();
  /// Behind the settings, whose last is the groups as text.
  const std::size_t units_ = Payload(state_).find("both=a*;solo=b") + 14;

  std::string refusal(const Bytes& bytes) {
    GradientTransform target = trained_groups(2);
    const Bytes before = target.save().value();
    const Status status = target.load(bytes);
    EXPECT_EQ(status.code(), StatusCode::corrupt_data);
    EXPECT_EQ(target.save().value(), before);
    return status.message();
  }
  /// The unit of that index is renamed; names here have four letters.
  Bytes renamed(std::size_t unit, std::string_view name) {
    Payload payload(state_);
    const std::size_t entry = units_ + 4 + unit * (1 + 4 + 4 + kMomentsBytes);
    for (std::size_t i = 0; i < name.size(); ++i) payload.put(entry + 5 + i, name[i]);
    return payload.wrapped();
  }
};

TEST_F(DamagedGroupStateTest, AnotherNumberOfUnits) {
  EXPECT_EQ(refusal(Payload(state_).put(units_, std::uint32_t{3}).wrapped()),
            "state of 'stabilize' has 3 units, expected 4");
  EXPECT_EQ(refusal(Payload(state_).put(units_, ~std::uint32_t{0}).wrapped()),
            "state of 'stabilize' has 4294967295 units, expected 4");
}

TEST_F(DamagedGroupStateTest, UnitsThatAreNotHereOrHereTwice) {
  EXPECT_EQ(refusal(renamed(0, "bath")),
            "state of 'stabilize' has moments of group 'bath', which is no unit here");
  EXPECT_EQ(refusal(renamed(3, "a0  ")),
            "state of 'stabilize' has moments of tensor 'a0  ', which is no unit here");
  EXPECT_EQ(refusal(renamed(3, "both")),
            "state of 'stabilize' has moments of tensor 'both', which is no unit here")
      << "the group of that name is another unit";
  EXPECT_EQ(refusal(renamed(1, "both")), "state of 'stabilize' has moments of 'both' twice");
  EXPECT_EQ(refusal(renamed(3, "left")), "state of 'stabilize' has moments of 'left' twice");
  GradientTransform target = trained_groups(2);
  EXPECT_TRUE(target.load(renamed(2, "left")).ok()) << "its own name";
}

}  // namespace
}  // namespace gradstab
