// The page: its numbers are the summary's, and it loads nothing.
#include "lab/bounds/bounds_page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/lab/page_text.hpp"

namespace gradstab::lab {
namespace {

using testing::between;
using testing::count_of;
using ::testing::HasSubstr;
using testing::inlined_data;
using ::testing::Not;
using testing::without_comments;

std::string page_of(double kappa, double gamma1 = 0.6, double gamma2 = 0.999) {
  return render_bounds_page(summarize_bounds({.gamma1 = gamma1, .gamma2 = gamma2, .kappa = kappa}));
}

/// The page up to its scripts.
std::string body_of(const std::string& page) {
  return page.substr(0, page.find("<script"));
}

TEST(BoundsPageTest, SaysTheMostImportantNumbersFirst) {
  const std::string lead = between(page_of(0.0), "<p class=\"lead\">", "</p>");
  EXPECT_THAT(lead, HasSubstr("never exceeds <b>15.82</b>"));
  EXPECT_THAT(lead, HasSubstr("1000 times the usual norm comes out as 12.34"));
  EXPECT_THAT(lead, HasSubstr("takes 5807 steps"));
  EXPECT_THAT(lead, Not(HasSubstr("robust")));
  EXPECT_THAT(between(page_of(3.0), "<p class=\"lead\">", "</p>"),
              HasSubstr("it comes out as 1.792, and \u03c1 never falls below 0.9959 afterwards"));
  EXPECT_THAT(between(page_of(0.0, 0.97, 0.93), "<p class=\"lead\">", "</p>"), HasSubstr("<b>no bound</b>"));
}

TEST(BoundsPageTest, TablesHoldTheExactNumbers) {
  const BoundsSummary summary = summarize_bounds({.kappa = 3.0});
  const std::string page = render_bounds_page(summary);
  const auto exact = [](double value) { return "data-value=\"" + nlohmann::json(value).dump() + "\""; };
  EXPECT_THAT(page, HasSubstr(exact(summary.recoveries[1].published.on_spike)));
  EXPECT_THAT(page, HasSubstr(exact(summary.recoveries[1].robust->smallest_after)));
  EXPECT_THAT(page, HasSubstr("data-value=\"22163\">22\u202f163<"));
  EXPECT_THAT(page, HasSubstr(exact(summary.step_bounds[5].published.released)));
  EXPECT_THAT(page, HasSubstr(exact(summary.spikes_at_step[5].robust->released)));
  EXPECT_THAT(page, Not(HasSubstr(exact(summary.step_bounds[5].published.released + 1e-9))));
}

TEST(BoundsPageTest, InlinedCurvesAreTheSimulatedOnes) {
  const BoundsSummary summary = summarize_bounds({.kappa = 3.0});
  const nlohmann::json curves = inlined_data(render_bounds_page(summary))["curves"];
  ASSERT_EQ(curves.size(), 6u);
  for (std::size_t i = 0; i < 3; ++i) {
    const nlohmann::json& published = curves[i];
    EXPECT_EQ(published["rule"], "published");
    EXPECT_EQ(curves[i + 3]["rule"], "robust");
    EXPECT_EQ(published["ratio"], summary.recoveries[i].ratio);
    EXPECT_EQ(published["x"][0], 0);
    // Five digits are inlined.
    const double on_spike = summary.recoveries[i].published.on_spike;
    EXPECT_NEAR(published["y"][0].get<double>(), on_spike, 0.5e-4 * on_spike);
    const double smallest = std::ranges::min(published["y"].get<std::vector<double>>());
    EXPECT_NEAR(smallest, summary.recoveries[i].published.smallest_after, 0.5e-4 * smallest);
  }
  // All end together, after the slowest has recovered.
  EXPECT_GT(curves[0]["x"].back(), 8354);
  EXPECT_EQ(curves[0]["x"].back(), curves[5]["x"].back());
}

TEST(BoundsPageTest, InlinedMapsHaveNullWhereThereIsNoBound) {
  const nlohmann::json data = inlined_data(page_of(0.0));
  const std::size_t columns = data["gamma1"].size();
  const auto& bound = data["maps"]["bound"];
  EXPECT_EQ(bound.size(), columns * data["one_minus_gamma2"].size());
  EXPECT_EQ(bound[40 * columns + 60], 15.816);
  EXPECT_EQ(data["maps"]["spike"][40 * columns + 60], 12.649);
  EXPECT_TRUE(bound[99].is_null());  // gamma1 0.99, gamma2 0.9
  EXPECT_TRUE(data["maps"]["build_up"][99].is_null());
  EXPECT_TRUE(data["maps"]["spike"][99].is_number());
  EXPECT_EQ(data["chosen"]["gamma1"], 0.6);
}

TEST(BoundsPageTest, RobustMomentsAddAMapAndRows) {
  const std::string published = page_of(0.0);
  const std::string both = page_of(3.0);
  EXPECT_EQ(count_of(body_of(published), "data-map="), 3u);
  EXPECT_EQ(count_of(body_of(both), "data-map="), 4u);
  EXPECT_EQ(inlined_data(published)["curves"].size(), 3u);
  EXPECT_TRUE(inlined_data(published)["maps"]["robust_bound"].empty());
  EXPECT_THAT(body_of(both), HasSubstr("tighter for \u03ba below\u00a064.333 only"));
}

TEST(BoundsPageTest, NothingIsLoadedFromAnywhere) {
  const std::string page = page_of(3.0);
  const std::string code = without_comments(page);
  for (const char* loader : {"http://", "https://", "src=", "url(", "@import"})
    EXPECT_THAT(code, Not(HasSubstr(loader)));
  EXPECT_EQ(count_of(code, "href="), 1u);  // the empty icon
  EXPECT_EQ(count_of(page, "</script>"), 3u);
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
}

TEST(BoundsPageTest, EveryPlaceholderIsFilled) {
  EXPECT_THAT(body_of(page_of(3.0)), Not(HasSubstr("{{")));
}

TEST(BoundsPageTest, IsAFunctionOfItsInput) {
  EXPECT_EQ(page_of(3.0), page_of(3.0));
  EXPECT_NE(page_of(3.0), page_of(3.5));
}

}  // namespace
}  // namespace gradstab::lab
