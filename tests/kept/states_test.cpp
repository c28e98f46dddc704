// States that older versions wrote: they load, and what follows is what followed then.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>

#include "kept/states_file.hpp"

namespace gradstab::testing {
namespace {

using Json = nlohmann::ordered_json;

std::map<std::string, Json> kept() {
  std::map<std::string, Json> lines;
  std::ifstream file(GRADSTAB_KEPT_STATES);
  for (std::string line; std::getline(file, line);) {
    Json json = Json::parse(line);
    const auto name = json.at("subject").get<std::string>();
    lines[name] = std::move(json);
  }
  return lines;
}

/// Largest difference between what a run has left and what is kept, relative to the kept number.
double distance(const Json& now, const Json& then) {
  double worst = 0.0;
  EXPECT_EQ(now.size(), then.size());
  for (std::size_t tensor = 0; tensor < then.size(); ++tensor) {
    for (std::size_t i = 0; i < 2; ++i) {
      const double expected = then[tensor][i];
      const double difference = std::fabs(now.at(tensor)[i].get<double>() - expected);
      worst = std::fmax(worst, difference / std::fmax(std::fabs(expected), 1e-12));
    }
  }
  return worst;
}

/// What is left after the state of a line was loaded and the steps behind it were made.
Json continued(const KeptSubject& subject, const Json& line, bool load) {
  KeptRun run(subject);
  if (load) run.load(bytes_of(line.at("state"))).check();
  if (line.contains("weights")) run.set_weights(line.at("weights").get<std::vector<Values>>());
  run.steps(kStepsBefore + 1, kStepsBefore + kStepsAfter);
  Json left = Json::array();
  for (const Values& tensor : run.left()) {
    double squares = 0.0;
    for (const double value : tensor) squares += value * value;
    left.push_back({tensor.front(), squares});
  }
  return left;
}

// A few hundred additions and multiplications of doubles lie between the state and the numbers compared.
constexpr double kTolerance = 1e-12;

TEST(KeptStatesTest, StatesOfOlderVersionsLoadAndContinueWithTheSameNumbers) {
  const auto lines = kept();
  ASSERT_EQ(lines.size(), kept_subjects().size());
  int remember = 0;
  for (const KeptSubject& subject : kept_subjects()) {
    SCOPED_TRACE(subject.name);
    ASSERT_TRUE(lines.contains(subject.name));
    const Json& line = lines.at(subject.name);
    EXPECT_LE(distance(continued(subject, line, true), line.at("left")), kTolerance);
    // The state matters: without it most subjects come to other numbers, all but those that remember nothing.
    remember += distance(continued(subject, line, false), line.at("left")) > 1e-6 ? 1 : 0;
  }
  EXPECT_GE(remember, 20);
}

TEST(KeptStatesTest, WhatIsSavedNowIsWhatWasSavedThen) {
  const auto lines = kept();
  for (const KeptSubject& subject : kept_subjects()) {
    KeptRun run(subject);
    run.load(bytes_of(lines.at(subject.name).at("state"))).check();
    EXPECT_EQ(hexadecimal(run.save()), lines.at(subject.name).at("state").get<std::string>()) << subject.name;
  }
}

TEST(KeptStatesTest, AStateOfOtherSettingsIsStillRefused) {
  const auto lines = kept();
  std::map<std::string, KeptSubject> subjects;
  for (const KeptSubject& subject : kept_subjects()) subjects[subject.name] = subject;
  KeptRun robust(subjects.at("stabilize"));
  EXPECT_EQ(robust.load(bytes_of(lines.at("stabilize_paper").at("state"))).message(),
            "stabilize has bias_correction = 1 here but bias_correction = 0 in the saved state");
  KeptRun euclidean(subjects.at("clip_by_global_norm"));
  EXPECT_EQ(euclidean.load(bytes_of(lines.at("clip_by_largest").at("state"))).message(),
            "clip_by_global_norm has max_norm = 1.5 here but max_norm = 0.5 in the saved state");
}

}  // namespace
}  // namespace gradstab::testing
