// What a page shows of a run beside its numbers: the values in it are those that were given.
#include "lab/page/exhibits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <span>
#include <string>
#include <vector>

#include "lab/support/base64.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// The points of each path, as they are drawn.
std::vector<std::vector<std::pair<double, double>>> drawn_points(const std::string& html) {
  std::vector<std::vector<std::pair<double, double>>> lines;
  const std::regex path(" d=\"([^\"]*)\""), point("[ML]([-0-9.]+) ([-0-9.]+)");
  for (std::sregex_iterator line(html.begin(), html.end(), path), end; line != end; ++line) {
    const std::string text = (*line)[1];
    auto& points = lines.emplace_back();
    for (std::sregex_iterator at(text.begin(), text.end(), point); at != end; ++at)
      points.emplace_back(std::stod((*at)[1]), std::stod((*at)[2]));
  }
  return lines;
}

json line_of(const std::string& label, const json& y) {
  return json::object({{"label", label}, {"y", y}});
}

json lines_exhibit(const std::string& title, const json& x, const std::vector<json>& lines) {
  return json::object(
      {{"kind", "lines"}, {"title", title}, {"caption", "of one window"}, {"x", x}, {"lines", lines}});
}

json table_exhibit(const std::string& title, const std::vector<std::string>& columns,
                   const std::vector<json>& rows) {
  return json::object(
      {{"kind", "table"}, {"title", title}, {"caption", ""}, {"columns", columns}, {"rows", rows}});
}

TEST(ExhibitTest, LinesAreWhereTheirNumbersAre) {
  const std::vector<double> x = {10, 12, 13, 20};
  const std::vector<double> truth = {-2, 0.5, 1, 3}, forecast = {-1, 0, 2, 2.5};
  const std::string html =
      exhibit_html(lines_exhibit("Forecast", x, {line_of("truth", truth), line_of("forecast", forecast)}));
  const auto lines = drawn_points(html);
  ASSERT_EQ(lines.size(), 2u);
  for (std::size_t i = 0; i < x.size(); ++i) {
    // Positions have one digit after the point, on 640 by 220.
    EXPECT_NEAR(10 + lines[0][i].first / 640 * 10, x[i], 0.05 / 640 * 10 + 1e-12);
    EXPECT_NEAR(3 - lines[0][i].second / 220 * 5, truth[i], 0.05 / 220 * 5 + 1e-12);
    EXPECT_NEAR(3 - lines[1][i].second / 220 * 5, forecast[i], 0.05 / 220 * 5 + 1e-12);
  }
  EXPECT_THAT(html, AllOf(HasSubstr("Across: 10 to 20. Up:"), HasSubstr("<b>Forecast</b> of one window"),
                          HasSubstr("</span>truth<"), HasSubstr("</span>forecast<")));
}

TEST(ExhibitTest, ALineIsInterruptedWhereAValueIsMissing) {
  const std::string html = exhibit_html(
      lines_exhibit("t", json::array({0, 1, 2, 3}), {line_of("l", json::array({0, nullptr, 1, 2}))}));
  EXPECT_THAT(html, HasSubstr("d=\"M0.0 220.0M426.7 110.0L640.0 0.0\""));
}

TEST(ExhibitTest, TablesHoldTheirCells) {
  const std::string html = exhibit_html(table_exhibit(
      "Predictors", {"method", "MSE"}, {json::array({"linear", 0.378}), json::array({"last value", 1.25})}));
  EXPECT_THAT(html, AllOf(HasSubstr("<th scope=\"col\">MSE</th>"),
                          HasSubstr("<tr><td>linear</td><td>0.378</td></tr>"),
                          HasSubstr("<tr><td>last value</td><td>1.25</td></tr>")));
}

TEST(ExhibitTest, WhatTheyHoldIsTextAndNoMarkup) {
  const std::string bad = "\"<script>alert(1)</script>";
  for (const json& exhibit : {table_exhibit(bad, {bad}, {json::array({bad})}),
                              lines_exhibit(bad, json::array({1, 2}), {line_of(bad, json::array({1, 2}))})}) {
    const std::string html = exhibit_html(exhibit);
    EXPECT_THAT(html,
                AllOf(HasSubstr("&lt;script&gt;"), Not(HasSubstr("<script")), Not(HasSubstr("\"\"&lt;"))));
  }
}

TEST(ExhibitTest, WhatHasAnotherFormIsLeftOut) {
  for (const char* text : {"7", "null", "[]", "{}", R"({"kind":"film"})", R"({"kind":"table"})",
                           R"({"kind":"table","columns":[],"rows":[7]})", R"({"kind":"lines","x":[1,2]})",
                           R"({"kind":"lines","x":[1,2],"lines":[{"label":"l","y":[1]}]})",
                           R"({"kind":"lines","x":[1,"2"],"lines":[{"label":"l","y":[1,2]}]})",
                           R"({"kind":"lines","x":[1,2],"lines":[7]})"})
    EXPECT_EQ(exhibit_html(json::parse(text)), "") << text;
  EXPECT_NE(exhibit_html(json::parse(R"({"kind":"lines","x":[1,2],"lines":[{"label":"l","y":[1,2]}]})")), "")
      << "the control";
}

/// The beginning of a PNG file, and as many bytes after it as `more` says.
std::string png(std::uint32_t width, std::uint32_t height, std::size_t more = 8) {
  std::string file("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
  for (const std::uint32_t number : {width, height})
    for (const unsigned shift : {24U, 16U, 8U, 0U}) file += static_cast<char>(number >> shift);
  file.append(more, 'x');
  return to_base64(std::as_bytes(std::span(file.data(), file.size())));
}

json picture_of(const std::string& file) {
  return json::object({{"png", file}, {"alt", "a <shirt>"}, {"text", "\"coat\""}, {"good", false}});
}
json pictures_exhibit(const json& pictures) {
  return json::object({{"kind", "pictures"}, {"title", "t"}, {"caption", "c"}, {"pictures", pictures}});
}

TEST(ExhibitTest, PicturesAreInThePageWithTheirTexts) {
  const std::string file = png(28, 32);
  const std::string html = exhibit_html(pictures_exhibit(json::array({picture_of(file), picture_of(file)})));
  EXPECT_THAT(html, AllOf(HasSubstr("src=\"data:image/png;base64," + file + "\" width=\"28\" height=\"32\""),
                          HasSubstr("alt=\"a &lt;shirt&gt;\""),
                          HasSubstr("<span class=\"state bad\">&quot;coat&quot;</span>")));
  json good = picture_of(file);
  good["good"] = true;
  EXPECT_THAT(exhibit_html(pictures_exhibit(json::array({good}))), HasSubstr("class=\"state good\""));
  good.erase("good");
  EXPECT_THAT(exhibit_html(pictures_exhibit(json::array({good}))), HasSubstr("<span>&quot;coat"));
}

TEST(ExhibitTest, PicturesThatAreNoneOrTooLargeAreLeftOut) {
  const auto shown = [](const std::string& file) {
    return !exhibit_html(pictures_exhibit(json::array({picture_of(file)}))).empty();
  };
  EXPECT_TRUE(shown(png(1, kMostPixels))) << "the control";
  EXPECT_FALSE(shown(png(1, kMostPixels + 1)));
  EXPECT_FALSE(shown(png(0, 5)));
  EXPECT_FALSE(shown(png(0xffffffff, 5)));
  EXPECT_TRUE(shown(png(5, 5, kMostPngBytes - 24))) << "the control";
  EXPECT_FALSE(shown(png(5, 5, kMostPngBytes - 23)));
  EXPECT_FALSE(shown(""));
  EXPECT_FALSE(shown("javascript:alert(1)"));
  EXPECT_FALSE(shown("\" onerror=\"alert(1)"));
  EXPECT_FALSE(shown(png(5, 5) + "\""));
  EXPECT_FALSE(shown(png(5, 5).substr(0, 16))) << "cut off within the header";
  const std::string gif = "GIF89a and something that is as long as the header of a PNG";
  EXPECT_FALSE(shown(to_base64(std::as_bytes(std::span(gif.data(), gif.size())))));
  // One that is none leaves out all.
  EXPECT_EQ(exhibit_html(pictures_exhibit(json::array({picture_of(png(5, 5)), 7}))), "");
  EXPECT_EQ(exhibit_html(pictures_exhibit(json::array())), "");
  EXPECT_EQ(exhibit_html(pictures_exhibit("many")), "");
  EXPECT_NE(exhibit_html(pictures_exhibit(json(kMostPictures, picture_of(png(5, 5))))), "") << "the control";
  EXPECT_EQ(exhibit_html(pictures_exhibit(json(kMostPictures + 1, picture_of(png(5, 5))))), "");
}

}  // namespace
}  // namespace gradstab::lab
