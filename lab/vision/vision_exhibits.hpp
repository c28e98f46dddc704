// What the page of a vision run shows beside its numbers.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/vision/classification_loss.hpp"
#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// Which class was taken for which, in pictures: for few classes a table with a row for each class and a
/// column for each prediction, for many the most frequent mistakes.
nlohmann::ordered_json confusion_exhibit(const Scores& scores, const std::vector<std::string>& classes);

/// Places in `scores` of pictures that are worth looking at: wrong ones first, those that the model was
/// surest of before others, then some that are right.
std::vector<std::size_t> worth_showing(const Scores& scores);

/// A picture with its place in the scores.
struct ShownPicture {
  std::size_t place = 0;
  Picture picture;
};

/// Pictures with what the model took them for, in their order (lab/page/exhibits.hpp). Large ones are shrunk.
nlohmann::ordered_json sheet_exhibit(const Scores& scores, const std::vector<std::string>& classes,
                                     const std::vector<ShownPicture>& pictures);

}  // namespace gradstab::lab::vision
