// The loss with smoothed and mixed targets, and what evaluations count, against sums written out.
#include "lab/vision/classification_loss.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace gradstab::lab::vision {
namespace {

using torch::Tensor;

const Tensor kLogits = torch::tensor({{2.0, 0.5, -1.0}, {0.0, 0.0, 3.0}}, torch::kDouble);
const Tensor kLabels = torch::tensor({0, 1}, torch::kLong);
const Tensor kPartners = torch::tensor({2, 0}, torch::kLong);

/// Of a target that is written out as probabilities.
double cross_entropy(const Tensor& logits, const std::vector<std::vector<double>>& targets) {
  double loss = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    double sum = 0;
    for (std::int64_t c = 0; c < 3; ++c)
      sum += std::exp(logits[static_cast<std::int64_t>(i)][c].item<double>());
    for (std::int64_t c = 0; c < 3; ++c)
      loss -= targets[i][static_cast<std::size_t>(c)] *
              (logits[static_cast<std::int64_t>(i)][c].item<double>() - std::log(sum));
  }
  return loss / static_cast<double>(targets.size());
}

// A handful of roundings of numbers below 8.
constexpr double kTolerance = 64 * 0x1p-53;

TEST(ClassificationLossTest, IsTheCrossEntropyOfItsTargets) {
  EXPECT_NEAR(classification_loss(kLogits, {kLabels, {}, 1.0}, 0.0).item<double>(),
              cross_entropy(kLogits, {{1, 0, 0}, {0, 1, 0}}), kTolerance);
  EXPECT_NEAR(classification_loss(kLogits, {kLabels, kPartners, 0.7}, 0.0).item<double>(),
              cross_entropy(kLogits, {{0.7, 0, 0.3}, {0.3, 0.7, 0}}), kTolerance);
  const double third = 0.1 / 3;
  EXPECT_NEAR(classification_loss(kLogits, {kLabels, {}, 1.0}, 0.1).item<double>(),
              cross_entropy(kLogits, {{0.9 + third, third, third}, {third, 0.9 + third, third}}), kTolerance);
  EXPECT_NEAR(
      classification_loss(kLogits, {kLabels, kPartners, 0.7}, 0.1).item<double>(),
      cross_entropy(kLogits, {{0.63 + third, third, 0.27 + third}, {0.27 + third, 0.63 + third, third}}),
      kTolerance);
  EXPECT_GT(std::abs(classification_loss(kLogits, {kLabels, kPartners, 0.6}, 0.1).item<double>() -
                     classification_loss(kLogits, {kLabels, kPartners, 0.7}, 0.1).item<double>()),
            kTolerance)
      << "the control";
}

TEST(ScoresTest, CountWhatIsRight) {
  Scores scores(7);
  // Ranks of the labels: 1, 2, 5, 6, 7.
  Tensor logits = torch::zeros({5, 7});
  const Tensor labels = torch::tensor({0, 1, 4, 5, 6}, torch::kLong);
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t c = 0; c < 7; ++c) logits[i][c] = -static_cast<float>(c);
  scores.add(logits.narrow(0, 0, 2), labels.narrow(0, 0, 2));
  scores.add(logits.narrow(0, 2, 3), labels.narrow(0, 2, 3));
  EXPECT_EQ(scores.count(), 5);
  EXPECT_EQ(scores.top1(), 20.0);
  EXPECT_EQ(scores.top5(), 60.0);
  double sum = 0;
  for (int c = 0; c < 7; ++c) sum += std::exp(-c);
  EXPECT_NEAR(scores.loss(), (0 + 1 + 4 + 5 + 6) / 5.0 + std::log(sum), 1e-13);
  EXPECT_EQ(scores.predictions(), std::vector<std::int64_t>(5, 0));
  EXPECT_EQ(scores.labels(), (std::vector<std::int64_t>{0, 1, 4, 5, 6}));
  EXPECT_NEAR(scores.confidences()[3], 1 / sum, 1e-7);
}

TEST(ScoresTest, EqualLogitsAndNoNumbersAreNotRight) {
  Scores equal(6);
  equal.add(torch::zeros({1, 6}), torch::tensor({0}, torch::kLong));
  EXPECT_EQ(equal.top5(), 0.0) << "all six are as likely";
  Scores none(6);
  // The first class is what max() says of numbers that are none.
  for (const std::int64_t label : {0, 3})
    none.add(torch::full({1, 6}, NAN), torch::tensor({label}, torch::kLong));
  EXPECT_EQ(none.top1(), 0.0);
  EXPECT_EQ(none.confidences(), (std::vector<float>{0, 0}));
  EXPECT_EQ(none.top5(), 0.0);
  EXPECT_TRUE(std::isnan(none.loss()));
  const Scores empty(6);
  EXPECT_TRUE(std::isnan(empty.top1()) && std::isnan(empty.loss()));
}

}  // namespace
}  // namespace gradstab::lab::vision
