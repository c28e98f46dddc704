#include "lab/vision/vision_exhibits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "lab/support/base64.hpp"
#include "lab/vision/encode_png.hpp"

namespace gradstab::lab::vision {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostClassesInATable = 20;
constexpr std::size_t kMostMistakes = 20;
constexpr std::size_t kWrongShown = 24;
constexpr std::size_t kRightShown = 12;
constexpr int kLongestSide = 96;

std::string name_of(const std::vector<std::string>& classes, std::int64_t label) {
  const auto index = static_cast<std::size_t>(label);
  return index < classes.size() ? classes[index] : fmt::format("class {}", label);
}

bool is_right(const Scores& scores, std::size_t place) {
  return scores.labels()[place] == scores.predictions()[place];
}

Json table(std::string caption, Json columns, Json rows) {
  return {{"kind", "table"},
          {"title", "Confusion matrix."},
          {"caption", std::move(caption)},
          {"columns", std::move(columns)},
          {"rows", std::move(rows)}};
}

}  // namespace

Json confusion_exhibit(const Scores& scores, const std::vector<std::string>& classes) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> counts;
  for (std::size_t place = 0; place < scores.labels().size(); ++place)
    ++counts[{scores.labels()[place], scores.predictions()[place]}];
  Json rows = Json::array();
  if (classes.size() <= kMostClassesInATable) {
    Json columns = Json::array({"pictures of"});
    for (const std::string& name : classes) columns.push_back(name);
    for (std::size_t label = 0; label < classes.size(); ++label) {
      Json row = Json::array({classes[label]});
      for (std::size_t prediction = 0; prediction < classes.size(); ++prediction) {
        const auto found =
            counts.find({static_cast<std::int64_t>(label), static_cast<std::int64_t>(prediction)});
        row.push_back(found == counts.end() ? 0 : found->second);
      }
      rows.push_back(std::move(row));
    }
    return table(
        "Pictures of the test part. A row for each true class, a column for each class that the model "
        "predicted.",
        std::move(columns), std::move(rows));
  }
  std::vector<std::pair<std::int64_t, std::pair<std::int64_t, std::int64_t>>> mistakes;
  for (const auto& [pair, count] : counts)
    if (pair.first != pair.second)
      mistakes.emplace_back(-count, pair);  // so that the most frequent come first
  std::ranges::sort(mistakes);
  mistakes.resize(std::min(mistakes.size(), kMostMistakes));
  for (const auto& [negative, pair] : mistakes)
    rows.push_back({name_of(classes, pair.first), name_of(classes, pair.second), -negative});
  return table("Pictures of the test part: the most frequent mistakes.",
               {"pictures of", "predicted", "how many"}, std::move(rows));
}

std::vector<std::size_t> worth_showing(const Scores& scores) {
  std::vector<std::size_t> wrong, right;
  for (std::size_t place = 0; place < scores.labels().size(); ++place)
    (is_right(scores, place) ? right : wrong).push_back(place);
  std::ranges::stable_sort(
      wrong, [&](std::size_t a, std::size_t b) { return scores.confidences()[a] > scores.confidences()[b]; });
  wrong.resize(std::min(wrong.size(), kWrongShown));
  right.resize(std::min(right.size(), kRightShown));
  wrong.insert(wrong.end(), right.begin(), right.end());
  return wrong;
}

Json sheet_exhibit(const Scores& scores, const std::vector<std::string>& classes,
                   const std::vector<ShownPicture>& pictures) {
  Json list = Json::array();
  for (const auto& [place, picture] : pictures) {
    const std::string truth = name_of(classes, scores.labels()[place]);
    const std::string prediction = name_of(classes, scores.predictions()[place]);
    const bool right = is_right(scores, place);
    const std::string text = right ? truth
                                   : fmt::format("{}, not {} ({:.0f}\u00a0%)", prediction, truth,
                                                 100.0f * scores.confidences()[place]);
    list.push_back({{"png", to_base64(encode_png(shrunk(picture, kLongestSide)))},
                    {"alt", fmt::format("A picture of: {}", truth)},
                    {"text", text},
                    {"good", right}});
  }
  return {{"kind", "pictures"},
          {"title", "What the model predicted."},
          {"caption",
           "Pictures of the test part. First those that the model got wrong, the surest mistakes before "
           "others, then some that it got right. In brackets the probability that it gave its answer."},
          {"pictures", std::move(list)}};
}

}  // namespace gradstab::lab::vision
