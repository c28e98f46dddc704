// Episodes of a policy as they are recorded for a page and for a film.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "lab/page/poses.hpp"
#include "lab/rl/environments/mujoco_environment.hpp"
#include "lab/rl/policy_checkpoint.hpp"
#include "lab/rl/view/film.hpp"
#include "lab/rl/view/policy_episode.hpp"
#include "lab/rl/view/pose_recording.hpp"
#include "lab/support/byte_reader.hpp"

namespace gradstab::lab::rl {
namespace {

class ViewTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto module = mujoco_module(); !module) GTEST_SKIP() << module.status().message();
  }
};

TEST_F(ViewTest, RecordedPosesAreThoseOfTheEpisode) {
  for (const std::string& name : environment_names()) {
    const auto environment = std::move(make_environment(name)).value();
    const Policy policy = swinging_policy(environment->info());
    const double dt = environment->info().step_seconds;
    const std::int64_t every = dt == 0.05 ? 1 : 5;
    PoseRecorder recorder(*environment);
    std::vector<std::vector<ShapePose>> seen;
    const auto summary = run_episode(*environment, policy, {.key = {1, 0, 0}, .sample = true},
                                     [&](std::int64_t steps) -> Status {
                                       recorder.observe(*environment, steps);
                                       if (steps % every != 0) return {};
                                       seen.emplace_back(environment->shapes().size());
                                       environment->poses(seen.back());
                                       return {};
                                     });
    ASSERT_TRUE(summary.ok()) << summary.status().message();
    const Poses poses = recorder.finish(name, "", "a", summary->episode_return, summary->steps);
    EXPECT_EQ(poses.dimensions, name == "Ant-v4" ? 3 : 2);
    EXPECT_NEAR(poses.seconds_per_frame, static_cast<double>(every) * dt, 1e-12);
    EXPECT_NEAR(poses.rollouts[0].seconds, static_cast<double>(summary->steps) * dt, 1e-9);
    ASSERT_EQ(poses.rollouts[0].frames.size(), std::min(seen.size(), kMostRecordedFrames));
    // Through the text of the exhibit and back.
    const auto read = read_poses(to_json(poses));
    ASSERT_TRUE(read);
    const auto size = static_cast<std::size_t>(poses.dimensions);
    for (std::size_t f = 0; f < read->rollouts[0].frames.size(); ++f) {
      for (std::size_t i = 0; i < read->shapes.size(); ++i) {
        for (const auto& [point, place] : {std::pair(read->shapes[i].from, seen[f][i].from),
                                           std::pair(read->shapes[i].to, seen[f][i].to)}) {
          const int* numbers = &read->rollouts[0].frames[f][static_cast<std::size_t>(point) * size];
          ASSERT_NEAR(numbers[0], 1000 * place[0], 0.5 + 1e-9) << name << " frame " << f << " shape " << i;
          ASSERT_NEAR(numbers[size - 1], 1000 * place[2], 0.5 + 1e-9);
          if (size == 3) {
            ASSERT_NEAR(numbers[1], 1000 * place[1], 0.5 + 1e-9);
          }
        }
      }
    }
    // Neighbouring bones share points, and a roll-out is a small part of a page.
    if (name != "HalfCheetah-v4") {
      EXPECT_LT(read->rollouts[0].frames[0].size(), 2 * size * read->shapes.size());
    }
    EXPECT_LT(to_json(poses).dump().size(), 36'000u) << name;
  }
}

TEST_F(ViewTest, APolicyForAnotherEnvironmentDoesNotAct) {
  const auto hopper = std::move(make_environment("hopper")).value(),
             ant = std::move(make_environment("ant")).value();
  EXPECT_EQ(run_episode(*hopper, swinging_policy(ant->info()), {}).status().message(),
            "the policy was trained in Ant-v4, not in Hopper-v4");
}

/// Number of pictures and bytes of each in a WebP animation; the test fails where it is none.
std::vector<std::string> pictures_of(const std::string& file, int width, int height) {
  ByteReader reader(file);
  EXPECT_EQ(reader.take(4), "RIFF");
  EXPECT_EQ(reader.number<std::uint32_t>(), file.size() - 8);
  EXPECT_EQ(reader.take(4), "WEBP");
  std::vector<std::string> pictures;
  const auto three = [](ByteReader& from) {
    const std::string_view bytes = from.take(3);
    return static_cast<unsigned char>(bytes[0]) | static_cast<unsigned char>(bytes[1]) << 8 |
           static_cast<unsigned char>(bytes[2]) << 16;
  };
  while (reader.ok() && reader.left() > 0) {
    const std::string name(reader.take(4));
    const auto size = reader.number<std::uint32_t>();
    const std::string_view content = reader.take(size);
    if (size % 2 != 0) reader.take(1);
    if (name != "ANMF") continue;
    ByteReader frame(content);
    frame.take(6);
    EXPECT_EQ(three(frame) + 1, width);
    EXPECT_EQ(three(frame) + 1, height);
    EXPECT_EQ(three(frame), 40);
    frame.take(1);
    EXPECT_EQ(frame.take(4), "VP8 ");
    pictures.emplace_back(frame.rest());
  }
  EXPECT_TRUE(reader.ok());
  return pictures;
}

TEST_F(ViewTest, AFilmHasAPictureForEachMoment) {
  auto film = Film::create("Hopper-v4", {.width = 160, .height = 120});
  if (!film) GTEST_SKIP() << film.status().message();
  const auto environment = std::move(make_environment("hopper")).value();
  const auto summary =
      run_episode(*environment, swinging_policy(environment->info()), {.key = {2, 0, 0}, .sample = false},
                  [&](std::int64_t steps) { return film->observe(*environment, steps); });
  ASSERT_TRUE(summary.ok()) << summary.status().message();
  const auto pictures = pictures_of(film->finish(), 160, 120);
  EXPECT_EQ(pictures.size(), static_cast<std::size_t>(summary->steps / 5 + 1));
  EXPECT_EQ(static_cast<int>(pictures.size()), film->pictures());
  EXPECT_EQ(std::set(pictures.begin(), pictures.end()).size(), pictures.size())
      << "what moves looks different";
}

TEST_F(ViewTest, PicturesShowTheRobotInFrontOfTheGround) {
  const EnvironmentSpec& spec = *find_environment("halfcheetah").value();
  std::string error;
  const auto renderer = compile_model(spec).value()->renderer(160, 120, error);
  if (renderer == nullptr) GTEST_SKIP() << error;
  std::vector<std::uint8_t> pixels;
  const auto orange = [&](double x) {
    std::vector<double> position(9);
    position[0] = x;
    EXPECT_EQ(renderer->draw(position, pixels), "");
    EXPECT_EQ(pixels.size(), 3u * 160 * 120);
    // The robot's colour has much more red than blue; ground and sky have not.
    std::vector<std::size_t> rows;
    for (std::size_t i = 0; i < 160u * 120; ++i)
      if (pixels[3 * i] > pixels[3 * i + 2] + 60) rows.push_back(i / 160);
    return rows;
  };
  const auto here = orange(0.0);
  // About a metre of robot, six centimetres thick, of a picture of about four metres.
  EXPECT_GT(here.size(), 160u * 120 / 100);
  EXPECT_LT(here.size(), 160u * 120 / 5);
  EXPECT_GT(here.front(), 20u);
  EXPECT_LT(here.back(), 110u);
  EXPECT_NEAR(static_cast<double>(orange(300.0).size()), static_cast<double>(here.size()),
              0.1 * static_cast<double>(here.size()))
      << "the picture follows the robot, and the ground has no end";
}

}  // namespace
}  // namespace gradstab::lab::rl
